// swift-tools-version: 6.3
import PackageDescription

/// Every target of ours is built the same way: strict memory safety, warnings as errors, and, in release builds,
/// specialisation across modules (the data path crosses four of them for one command).
let house: [SwiftSetting] = [
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .unsafeFlags(["-cross-module-optimization"], .when(configuration: .release)),
]

/// The programs carry the Swift runtime inside, so that a storage host or a client needs no Swift installation. Yams brings
/// Foundation, whose static library does not name the parts below it.
let standalone: [LinkerSetting] = [
    .unsafeFlags([
        "-static-stdlib", "-lCoreFoundation", "-l_FoundationICU", "-l_FoundationCShims", "-l_FoundationCollections",
    ])
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let subprocess = Target.Dependency.product(name: "Subprocess", package: "swift-subprocess")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let histogram = Target.Dependency.product(name: "Histogram", package: "hdrhistogram-swift")

let package = Package(
    name: "rack-storage",
    products: [
        .executable(name: "storaged", targets: ["storaged"]),
        .executable(name: "attach", targets: ["attach"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", exact: "1.0.2"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", exact: "0.2.0"),
    ],
    targets: [
        // Both ends: pure or shared.
        .target(name: "ISCSI", swiftSettings: house),
        .target(name: "SCSI", swiftSettings: house),
        .target(name: "Rack", dependencies: [yams], swiftSettings: house),
        .target(name: "Manual", swiftSettings: house),
        .systemLibrary(name: "CLinux"),
        .systemLibrary(name: "CUring", pkgConfig: "liburing", providers: [.apt(["liburing-dev"])]),
        .systemLibrary(name: "CISAL", providers: [.apt(["libisal-dev"])]),
        .systemLibrary(name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),
        .systemLibrary(name: "CISCSI", pkgConfig: "libiscsi", providers: [.apt(["libiscsi-dev"])]),
        .systemLibrary(name: "CDeviceMapper", pkgConfig: "devmapper", providers: [.apt(["libdevmapper-dev"])]),
        .systemLibrary(name: "CUdev", pkgConfig: "libudev", providers: [.apt(["libudev-dev"])]),

        // Storage hosts only.
        .target(name: "Reactor", dependencies: ["CUring"], path: "Targets/Reactor", swiftSettings: house),
        .target(name: "BlockStore", dependencies: ["CLinux"], path: "Targets/BlockStore", swiftSettings: house),
        .target(
            name: "TargetServer",
            dependencies: ["ISCSI", "SCSI", "Reactor", "BlockStore", "CISAL", "CLinux", logging, crypto],
            path: "Targets/TargetServer", swiftSettings: house),
        .executableTarget(
            name: "storaged",
            dependencies: [
                "TargetServer", "BlockStore", "Rack", "Manual", "CLinux", "CSystemd", argumentParser, logging,
            ],
            path: "Targets/storaged", swiftSettings: house, linkerSettings: standalone),

        // Clients only.
        .target(
            name: "PathDiscovery", dependencies: ["CISCSI"], path: "Initiators/PathDiscovery", swiftSettings: house),
        .target(
            name: "DeviceMapper", dependencies: ["CDeviceMapper"], path: "Initiators/DeviceMapper", swiftSettings: house
        ),
        .target(name: "HostDevices", dependencies: ["CUdev"], path: "Initiators/HostDevices", swiftSettings: house),
        .target(
            name: "Stack",
            dependencies: ["Rack", "PathDiscovery", "DeviceMapper", "HostDevices", subprocess, logging],
            path: "Initiators/Stack", swiftSettings: house),
        .executableTarget(
            name: "attach",
            dependencies: ["Stack", "Rack", "Manual", "PathDiscovery", "CSystemd", argumentParser, logging],
            path: "Initiators/attach", swiftSettings: house, linkerSettings: standalone),

        // Tests and measuring.
        .testTarget(name: "ISCSITests", dependencies: ["ISCSI", crypto], swiftSettings: house),
        .testTarget(name: "SCSITests", dependencies: ["SCSI"], swiftSettings: house),
        .testTarget(name: "RackTests", dependencies: ["Rack"], swiftSettings: house),
        .testTarget(name: "ManualTests", dependencies: ["Manual", "Rack"], swiftSettings: house),
        .testTarget(name: "ReactorTests", dependencies: ["Reactor", "CUring"], swiftSettings: house),
        .testTarget(name: "BlockStoreTests", dependencies: ["BlockStore", "CLinux"], swiftSettings: house),
        .testTarget(name: "StoragedTests", dependencies: [crypto], swiftSettings: house),
        .testTarget(name: "TargetServerTests", dependencies: ["TargetServer"], swiftSettings: house),
        .testTarget(name: "DeviceMapperTests", dependencies: ["DeviceMapper"], swiftSettings: house),
        .testTarget(name: "HostDevicesTests", dependencies: ["HostDevices"], swiftSettings: house),
        .testTarget(name: "PathDiscoveryTests", dependencies: ["PathDiscovery"], swiftSettings: house),
        .testTarget(name: "StackTests", dependencies: ["Stack"], swiftSettings: house),
        .executableTarget(
            name: "iscsi-load", dependencies: ["ISCSI", histogram, argumentParser], path: "Tests/Benchmarks/iscsi-load",
            swiftSettings: house),
        .executableTarget(
            name: "rogue", dependencies: ["ISCSI", argumentParser, crypto], path: "Tests/RackLab/rogue",
            swiftSettings: house),
        .executableTarget(
            name: "block-stamp", dependencies: ["CLinux", argumentParser], path: "Tests/RackLab/block-stamp",
            swiftSettings: house, linkerSettings: standalone),
    ]
)

// Coverage-guided fuzzing (Tests/Fuzz/run): built by itself with sanitizers, and not there for anybody else.
if Context.environment["RACK_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "fuzz", dependencies: ["TargetServer", "ISCSI", "SCSI", "Rack", "BlockStore", logging],
            path: "Tests/Fuzz/fuzz", swiftSettings: house))
}
