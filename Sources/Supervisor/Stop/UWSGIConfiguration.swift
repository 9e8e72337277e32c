import Linux

/// What uWSGI was told to do at TERM, which by default reloads it: by its command line, the files that this names, and the
/// variables that it and ebb were started with.
///
/// A file that is put together by another one (`include`), or comes from elsewhere, is not seen: then QUIT has to do.
struct UWSGIConfiguration {
  /// TERM ends it (`die-on-term`), or runs a hook of the user's (`hook-master-start = unix_signal:15 ...`).
  private(set) var saysWhatTermDoes = false

  /// What a running one was told.
  init(of process: ProcessID) {
    note(environmentVariable(CString("UWSGI_DIE_ON_TERM")), means: "die-on-term")
    note(environmentVariable(CString("UWSGI_HOOK_MASTER_START")), means: "hook-master-start")
    if let path = environmentVariable(CString("UWSGI_INI")) { readFile(path.bytes, of: process) }
    let line = File.contents("/proc/\(process)/cmdline", limit: 16 * 1024) ?? []
    var words = line[...]
    while let word = words.next(before: 0) {
      let word = word.copy
      if word.hasPrefix("--") {
        note(word.part(from: 2))
      } else if UWSGIConfiguration.suffixes.contains(where: { word.hasSuffix($0) }) {
        readFile(word, of: process)
      }
      // "--ini=/etc/uwsgi.ini"
      if let equals = word.position(of: UInt8(ascii: "=")) {
        readFile(word.part(from: equals + 1), of: process)
      }
    }
  }

  /// What a text says: of a file, a line an option.
  init(text: [UInt8]) { read(text) }

  private static var suffixes: [StaticString] { [".ini", ".yml", ".yaml", ".xml", ".json"] }

  private mutating func note(_ value: CString?, means option: StaticString) {
    guard let value else { return }
    var text = Text()
    text.append(option)
    text.append("=")
    text.append(contentsOf: Text(bytes: value.bytes))
    note(text.bytes)
  }

  private mutating func readFile(_ path: [UInt8], of process: ProcessID) {
    guard UWSGIConfiguration.suffixes.contains(where: { path.hasSuffix($0) }) else { return }
    var whole: Text = "/proc/\(process)/cwd/"
    if path.first == UInt8(ascii: "/") { whole = "" }
    whole.append(contentsOf: Text(bytes: path))
    // A pipe in its place would never end.
    guard whole.bytes.withCString({ File.isRegular($0) }), let text = File.contents(whole, limit: 64 * 1024)
    else { return }
    read(text)
  }

  private mutating func read(_ text: [UInt8]) {
    var lines = text[...]
    while let line = lines.next(before: UInt8(ascii: "\n")) { note(line.copy) }
  }

  /// An option: "die-on-term = true", "die-on-term", "hook-master-start = unix_signal:15 gracefully_kill_them_all"; YAML,
  /// XML and JSON differ by what stands around the words.
  private mutating func note(_ line: [UInt8]) {
    let line = line.filter { $0 > 0x20 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "<") }
    if line.hasPrefix("die-on-term") {
      if !line.hasSuffix("false") && !line.hasSuffix("0") { saysWhatTermDoes = true }
    }
    if line.hasPrefix("hook-master-start") && line.holds("unix_signal:15") { saysWhatTermDoes = true }
  }
}
