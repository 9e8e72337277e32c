import Foundation

/// Where ebb is put, and what it is denied there: a row of the table.
enum Confinement: String, CaseIterable, Sendable {
  case root, notFirst, withoutCapabilities, user, noNewPrivileges, readOnly, otherUser, stranger
  case hidden, hiddenOther, withoutProc, withoutNetlink, withoutBoth, userNamespace, sharedPIDs, memory
  case docker, restricted, strict

  /// The row's name.
  var title: String {
    switch self {
    case .root: "root, PID 1"
    case .notFirst: "root, not PID 1"
    case .withoutCapabilities: "root, all capabilities dropped"
    case .user: "a user, all capabilities dropped"
    case .noNewPrivileges: "a user, no new privileges"
    case .readOnly: "nothing can be written"
    case .otherUser: "the service another user's, Docker's capabilities"
    case .stranger: "asked by a third user"
    case .hidden: "/proc with hidepid"
    case .hiddenOther: "the same, the service another user's"
    case .withoutProc: "no /proc"
    case .withoutNetlink: "seccomp refuses netlink"
    case .withoutBoth: "the same, and no /proc"
    case .userNamespace: "a user namespace"
    case .sharedPIDs: "a pod's shared pid namespace"
    case .memory: "4 MiB of memory, the service's included"
    case .docker: "Docker, its seccomp profile"
    case .restricted: "the same, restricted"
    case .strict: "the same, its profile refuses netlink"
    }
  }

  static let someUser = 64123

  /// The words before ebb, and before whoever asks, that take rights away.
  func wrapper(_ programs: Programs) throws -> [String] {
    switch self {
    case .root, .notFirst, .readOnly, .withoutProc, .userNamespace, .sharedPIDs, .memory: []
    case .stranger: Confinement.become(Confinement.someUser)
    case .withoutCapabilities:
      ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--"]
    case .user, .hidden:
      // The last: without setpcap the bounding set could not be emptied afterwards.
      [
        "setpriv", "--reuid=\(Confinement.someUser)", "--regid=\(Confinement.someUser)", "--clear-groups",
        "--bounding-set=-all", "--inh-caps=-all", "--",
      ]
    case .noNewPrivileges:
      [
        "setpriv", "--reuid=\(Confinement.someUser)", "--regid=\(Confinement.someUser)", "--clear-groups",
        "--no-new-privs", "--",
      ]
    case .otherUser, .hiddenOther: Confinement.asInDocker
    case .withoutNetlink, .withoutBoth: try programs.withoutNetlink()
    case .docker, .restricted, .strict: []
    }
  }

  /// The words before whoever asks, where those are others.
  func askersWrapper(_ programs: Programs) throws -> [String] {
    self == .stranger ? Confinement.become(Confinement.someUser + 1) : try wrapper(programs)
  }

  /// The words before the service, behind ebb's.
  var servicesWrapper: [String] {
    self == .otherUser || self == .hiddenOther ? Confinement.become(Confinement.someUser) : []
  }

  /// Shell commands that run before ebb, in its own mount namespace. The tests' cgroup, which all rows share, tells
  /// nothing there.
  var preparation: String {
    let withoutCgroup = "mount -t tmpfs tmpfs /sys/fs/cgroup 2>&- || :\n"
    switch self {
    case .withoutProc, .withoutBoth: return withoutCgroup + "mount -t tmpfs -o ro tmpfs /proc"
    // By itself it hides nothing from the group 0.
    case .hidden, .hiddenOther:
      return withoutCgroup + "mount -o remount,hidepid=invisible,gid=64999 /proc"
    case .readOnly:
      return withoutCgroup
        + "cut -d ' ' -f 5 /proc/self/mountinfo | while read -r one; do mount -o remount,bind,ro \"$one\" || :; done 2>&-"
    default: return withoutCgroup
    }
  }

  var isPID1: Bool { self != .notFirst && self != .sharedPIDs }

  /// A shell command that fails where the row is not what its title says; run where ebb runs, and as it runs.
  /// nil where that is seen from outside.
  var proof: String? {
    func status(_ line: String) -> String { "grep -q '^\(line)' /proc/$EBB/status" }
    let none = "0000000000000000"
    let unprivileged = "\(status("CapEff:.\(none)")) && \(status("CapBnd:.\(none)"))"
    switch self {
    case .root: return "test $EBB = 1 && \(status("Uid:.0"))"
    case .notFirst: return "test $EBB != 1 && \(status("Uid:.0"))"
    case .withoutCapabilities: return "\(status("Uid:.0")) && \(unprivileged)"
    case .user: return "\(status("Uid:.\(Confinement.someUser)")) && \(unprivileged)"
    case .noNewPrivileges: return "\(status("Uid:.\(Confinement.someUser)")) && \(status("NoNewPrivs:.1"))"
    case .readOnly: return "for at in / /tmp /run /dev/shm /var/tmp; do ! touch $at/x || exit 1; done"
    case .otherUser:
      return "of=$(grep -l tide /proc/[0-9]*/comm) && test -n \"$of\" && ! readlink ${of%comm}fd/1"
    case .stranger: return "! \(status("Uid:.$(id -u)"))"
    case .hidden: return "\(status("Uid:.\(Confinement.someUser)")) && grep -q hidepid /proc/mounts"
    case .hiddenOther: return "grep -q hidepid /proc/mounts && ! grep -q tide /proc/[0-9]*/comm"
    case .withoutProc: return "! test -e /proc/self"
    case .withoutNetlink: return "\(status("Seccomp:.2")) && ! ip link"
    case .withoutBoth: return "! test -e /proc/self && ! ip link"
    case .userNamespace: return "test $(id -u) = 0 && ! grep -q 4294967295 /proc/self/uid_map"
    case .sharedPIDs: return "test $(cat /proc/1/comm) = sleep && grep -q tide /proc/[0-9]*/comm"
    case .memory, .docker, .restricted, .strict: return nil
    }
  }

  static func become(_ user: Int) -> [String] {
    ["setpriv", "--reuid=\(user)", "--regid=\(user)", "--clear-groups", "--"]
  }

  /// The options of `docker run`; nil where no engine is needed.
  func dockerOptions() throws -> [String]? {
    switch self {
    case .docker: []
    case .restricted: Confinement.restrictions
    case .strict:
      Confinement.restrictions + ["--security-opt=seccomp=\(try Confinement.programs.get().strictProfile)"]
    default: nil
    }
  }

  /// What Kubernetes calls restricted, and a file system that is read-only.
  private static let restrictions = [
    "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=65534",
  ]

  /// What Docker leaves to root.
  private static let asInDocker = [
    "setpriv",
    "--bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap",
    "--inh-caps=-all", "--",
  ]

  /// The programs, where every user may run them.
  final class Programs: @unchecked Sendable {
    private let folder: TemporaryFolder
    let ebb: String
    let tide: String
    let strictProfile: String
    private let lock = NSLock()
    private var filter: WithoutNetlink?

    init() throws {
      folder = try TemporaryFolder()
      ebb = "\(folder.path)/ebb"
      tide = "\(folder.path)/tide"
      strictProfile = try folder.write("seccomp.json", StrictProfile.json)
      // By a process of its own: a file that is open for writing as another test forks cannot be executed.
      let copy = try Running(["cp", Binary.ebb.path(), Binary.tide.path(), folder.path])
      guard try copy.finish() == .code(0) else { throw Unusable("cp: \(copy.errors.text)") }
    }

    /// The words that refuse netlink to what follows.
    func withoutNetlink() throws -> [String] {
      lock.lock()
      defer { lock.unlock() }
      let made = try filter ?? WithoutNetlink()
      filter = made
      return made.command
    }
  }

  static let programs = Result { try Programs() }
}

extension OwnMemory {
  /// The limit of the row.
  static let limit = 4 << 20
}

/// A memory cgroup of the test's own, cgroups(7), of version 1 or 2. Removed with this value.
final class OwnMemory {
  private let path: String

  init() throws {
    guard let root = OwnMemory.root else { throw Unusable("no memory cgroup") }
    path = "\(root)/ebb-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    guard mkdir(path, 0o755) == 0 else { throw Unusable("mkdir \(path): errno \(errno)") }
    let file = access("\(path)/memory.max", F_OK) == 0 ? "memory.max" : "memory.limit_in_bytes"
    try "\(OwnMemory.limit)".write(toFile: "\(path)/\(file)", atomically: false, encoding: .utf8)
  }

  deinit { try? wait(until: "the cgroup can be removed") { rmdir(path) == 0 || errno == ENOENT } }

  /// The words before a command that is to live in it.
  var entry: [String] { ["sh", "-c", "echo $$ >\(path)/cgroup.procs && exec \"$@\"", "sh"] }

  /// The most that it has held.
  var peak: Int? {
    for name in ["memory.peak", "memory.max_usage_in_bytes"] {
      if let text = try? String(contentsOfFile: "\(path)/\(name)", encoding: .utf8) {
        return Int(text.trimmingCharacters(in: .newlines))
      }
    }
    return nil
  }

  /// Where such a cgroup can be made.
  static let root = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].first { root in
    if access("\(root)/memory.limit_in_bytes", W_OK) == 0 { return true }
    let controllers = try? String(contentsOfFile: "\(root)/cgroup.subtree_control", encoding: .utf8)
    return controllers?.contains("memory") == true && access("\(root)/cgroup.procs", W_OK) == 0
  }
}
