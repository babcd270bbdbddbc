// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

let strict: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
    ]
    // Warnings stop CI; at the desk they only warn.
    + (Context.environment["CI"] == nil ? [] : [.treatAllWarnings(as: .error)])
    // For Tests/Faults alone, in a build folder of its own.
    + (Context.environment["STILLPOINT_FAILPOINTS"] == nil ? [] : [.define("FAILPOINTS")])

let package = Package(
    name: "stillpoint",
    products: [
        .executable(name: "stillpoint", targets: ["stillpoint"]),
        .executable(name: "stillpoint-guard", targets: ["stillpoint-guard"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2", traits: []),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        .systemLibrary(name: "CJSONC", pkgConfig: "json-c", providers: [.apt(["libjson-c-dev"])]),
        .systemLibrary(name: "CLibvirt", pkgConfig: "libvirt-qemu", providers: [.apt(["libvirt-dev"])]),

        .target(name: "CFootprint"),
        .target(name: "JSON", dependencies: ["CJSONC"], swiftSettings: strict),
        .target(name: "Libvirt", dependencies: ["CLibvirt"], swiftSettings: strict),
        .target(name: "GuestAgent", dependencies: ["JSON"], swiftSettings: strict),
        .target(name: "Quiesce", swiftSettings: strict),
        // On its own, because the hooks as array literals take seconds to compile. Hooks is a link to the folder above.
        .target(
            name: "BuiltInHooks", exclude: ["Hooks/README.md"], resources: [.embedInCode("Hooks")],
            swiftSettings: strict),
        .target(
            name: "QuiesceKVM",
            dependencies: [
                "BuiltInHooks", "JSON", "Libvirt", "GuestAgent", "Quiesce",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "stillpoint",
            dependencies: [
                "CFootprint", "Quiesce", "QuiesceKVM",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict,
            // The symbols that a plug-in would need: a megabyte to read at each start, and there are no plug-ins.
            linkerSettings: [.unsafeFlags(["-Xlinker", "--no-export-dynamic"], .when(configuration: .release))]
        ),
        .executableTarget(name: "stillpoint-guard", dependencies: ["Libvirt"], swiftSettings: strict),
        .executableTarget(
            name: "json-fuzz", dependencies: ["JSON"], path: "Tests/Fuzz", exclude: ["corpus"], swiftSettings: strict),

        .testTarget(name: "JSONTests", dependencies: ["JSON"], swiftSettings: strict),
        .testTarget(name: "LibvirtTests", dependencies: ["Libvirt"], swiftSettings: strict),
        .testTarget(
            name: "GuestAgentTests", dependencies: ["GuestAgent", "JSON"], exclude: ["Fixtures"], swiftSettings: strict),
        .testTarget(name: "QuiesceTests", dependencies: ["Quiesce"], swiftSettings: strict),
        .testTarget(
            name: "QuiesceKVMTests",
            dependencies: [
                "QuiesceKVM", "BuiltInHooks", "Quiesce", "GuestAgent", "Libvirt", "JSON",
                .product(name: "GRDB", package: "GRDB.swift"),
            ],
            exclude: ["Fixtures", "Golden/Expected"], swiftSettings: strict),
        .testTarget(name: "StillpointTests", dependencies: ["stillpoint"], swiftSettings: strict),
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "JSON",
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Tests/Integration", swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
