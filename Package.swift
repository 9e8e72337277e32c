// swift-tools-version: 6.2
import PackageDescription

// Release is Embedded Swift, static, with no run time: what an image holds. Debug is ordinary Swift, so
// that `swift test` and its `@testable` work. The flags are unsafe flags on purpose:
// `.enableExperimentalFeature("Embedded", .when(...))` reaches the debug link too.
let embedded: [SwiftSetting] = [
  .unsafeFlags(
    ["-enable-experimental-feature", "Embedded", "-wmo", "-Osize", "-Xfrontend", "-function-sections"],
    .when(configuration: .release))
]
let small: [CSetting] = [
  .define("_GNU_SOURCE"),
  // heap.c
  .define("CLINUX_OWN_HEAP", .when(configuration: .release)),
  .unsafeFlags(["-Os", "-ffunction-sections", "-fdata-sections"], .when(configuration: .release)),
]
let staticExecutable: [LinkerSetting] = [
  .unsafeFlags(
    [
      "-enable-experimental-feature", "Embedded", "-static-executable",
      "-Xlinker", "--gc-sections", "-Xlinker", "-s",
    ],
    .when(configuration: .release))
]

let package = Package(
  name: "ebb",
  products: [
    .executable(name: "ebb", targets: ["ebb"]),
    .executable(name: "tide", targets: ["tide"]),
  ],
  targets: [
    .target(name: "CLinux", cSettings: small),
    .target(name: "Time", swiftSettings: embedded),
    .target(name: "Linux", dependencies: ["CLinux", "Time"], swiftSettings: embedded),
    .target(name: "Inet", dependencies: ["Linux"], swiftSettings: embedded),
    .target(name: "Lifecycle", dependencies: ["Time"], swiftSettings: embedded),
    .target(name: "Supervisor", dependencies: ["Linux", "Inet", "Lifecycle"], swiftSettings: embedded),
    .executableTarget(
      name: "ebb", dependencies: ["Linux", "Inet", "Lifecycle", "Supervisor"],
      swiftSettings: embedded, linkerSettings: staticExecutable),
    .executableTarget(
      name: "tide", dependencies: ["CLinux", "Linux"],
      swiftSettings: embedded, linkerSettings: staticExecutable),
    .testTarget(name: "LinuxTests", dependencies: ["Linux"]),
    .testTarget(name: "InetTests", dependencies: ["Inet", "Linux"]),
    .testTarget(name: "LifecycleTests", dependencies: ["Lifecycle"]),
    .testTarget(name: "SupervisorTests", dependencies: ["Supervisor", "Inet", "Lifecycle", "Linux"]),
    .testTarget(name: "EbbTests", dependencies: ["ebb", "Supervisor", "Linux"]),
    // The built binaries against real services: they are run, not imported.
    .testTarget(
      name: "ServiceTests", dependencies: ["ebb", "tide"],
      exclude: ["Names/scenarios.py", "Network/flood.py"]),
  ],
  cLanguageStandard: .gnu11
)
