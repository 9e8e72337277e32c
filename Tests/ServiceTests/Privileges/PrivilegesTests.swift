import Foundation
import Testing

/// What works where ebb is denied something: the README's table, each cell a test. Nothing may hang, crash or lie
/// anywhere; where something cannot work, a line says so.
struct PrivilegesTests {
  private static let special: [Confinement] = [
    .withoutNetlink, .withoutBoth, .memory, .docker, .restricted, .strict,
  ]
  private static let plain = Confinement.allCases.filter { !special.contains($0) }

  @Test(.requires(.root, .namespaces, .tool("setpriv")), arguments: PrivilegesTable.cells(plain))
  func inNamespaces(cell: PrivilegesTable.Cell) throws { try check(cell) }

  @Test(
    .requires(.root, .namespaces, .tool("gcc")),
    arguments: PrivilegesTable.cells([.withoutNetlink, .withoutBoth]))
  func whereNetlinkIsRefused(cell: PrivilegesTable.Cell) throws { try check(cell) }

  @Test(.requires(.root, .namespaces, .memoryLimit), arguments: PrivilegesTable.cells([.memory]))
  func withLittleMemory(cell: PrivilegesTable.Cell) throws { try check(cell) }

  @Test(.requires(.root, .docker), arguments: PrivilegesTable.cells([.docker, .restricted, .strict]))
  func inDocker(cell: PrivilegesTable.Cell) throws { try check(cell) }

  private func check(_ cell: PrivilegesTable.Cell) throws {
    let seen = try Observations.of(cell.confinement)
    let outcome = try #require(seen.outcomes[cell.promise])
    let isAsExpected =
      switch (outcome, cell.expected) {
      case (.yes, .yes): true
      case (.partly(let words), .partly(let expected)), (.no(let words), .no(let expected)):
        words.contains(expected)
      default: false
      }
    #expect(isAsExpected, "\(outcome)\n\(seen.transcript)")
  }

  @Test func theReadmeShowsThisTable() throws {
    let readme = try String(contentsOfFile: "\(Binary.packageRoot)/README.md", encoding: .utf8)
    let parts = readme.components(separatedBy: "<!-- privileges -->\n")
    let shown = parts.count == 2 ? parts[1].components(separatedBy: "<!-- end of privileges -->")[0] : ""
    #expect(shown == PrivilegesTable.markdown, "it should be:\n\(PrivilegesTable.markdown)")
  }
}
