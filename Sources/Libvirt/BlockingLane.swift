// SPDX-License-Identifier: Apache-2.0

import Dispatch

/// Runs blocking calls one after the other on a thread of its own, off Swift's cooperative pool.
///
/// One lane for each guest and one more for its rescue. A lane's queue is serial because a serial queue gets its
/// thread even when all others hang; concurrent queues share a few (measured on two cores: of 400 blocked calls 5
/// ran, and a second concurrent queue got no thread within a second, while 100 serial queues ran at once).
public struct BlockingLane: Sendable {
    private let queue: DispatchQueue

    /// - Parameter label: seen in debuggers.
    public init(label: String) {
        queue = DispatchQueue(label: label)
    }

    /// Gives what `body` returns or throws. A call that has been handed over runs to its end, cancelled or not: give
    /// it a timeout of its own.
    public func run<Value: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let result: Result<Value, Failure> = await withCheckedContinuation { continuation in
            queue.async {
                do throws(Failure) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }
}
