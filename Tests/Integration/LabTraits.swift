// SPDX-License-Identifier: Apache-2.0

import Testing

/// All tests that need a real guest, one after the other: guests share the machine.
@Suite(
    "on the lab's guests", .serialized, .enabled(if: Place.isLabWanted, "set STILLPOINT_LAB to run these"),
    .noDaemonLeft)
enum Lab {}

/// Boots one guest for a whole suite and takes it down afterwards, whatever happened in between.
struct OneGuest: SuiteTrait, TestScoping {
    let shape: LabGuest.Shape
    var isRecursive: Bool { false }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        let guest = try await LabGuest.up(shape)
        let result: Result<Void, any Error>
        do {
            result = .success(try await LabGuest.$running.withValue(guest, operation: function))
        } catch {
            result = .failure(error)
        }
        await guest.down()
        try result.get()
    }
}

/// Afterwards libvirt's daemons are as before: whoever needs them starts them, and a domain of its own is no guest of the lab.
struct NoDaemonLeft: SuiteTrait, TestScoping {
    var isRecursive: Bool { false }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        let result: Result<Void, any Error>
        do { result = .success(try await function()) } catch { result = .failure(error) }
        try await Program.succeed(LabGuest.lab, "daemons", "stop")
        try result.get()
    }
}

/// After each test the guest is thawed and as the lab made it; else that test has failed.
struct NothingLeft: SuiteTrait, TestTrait, TestScoping {
    var isRecursive: Bool { true }

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        guard let guest = LabGuest.running, testCase != nil else { return try await function() }
        let result: Result<Void, any Error>
        do { result = .success(try await function()) } catch { result = .failure(error) }
        let leftovers = try await guest.leftovers()
        if !leftovers.isEmpty {
            Issue.record("left behind: \(leftovers.joined(separator: "; "))")
            await guest.restore()
        }
        try result.get()
    }
}

extension Trait where Self == OneGuest {
    static func guest(_ shape: LabGuest.Shape) -> Self { OneGuest(shape: shape) }
}

extension Trait where Self == NoDaemonLeft {
    static var noDaemonLeft: Self { NoDaemonLeft() }
}

extension Trait where Self == NothingLeft {
    /// No overlay, manifest, trash, snapshot or process, no unfinished run, no filesystem frozen.
    static var nothingLeft: Self { NothingLeft() }
}
