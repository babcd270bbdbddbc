// SPDX-License-Identifier: Apache-2.0

import Quiesce

/// A frozen image that can be opened, kept from writers while this lives.
struct FrozenDisk: Sendable {
    let image: FrozenImage
    let chain: ImageChain
    private let locks: [ImageLock]

    /// Whoever gets these keeps writers away as well, and longer than this lives.
    var descriptors: [CInt] { locks.map(\.descriptor) }

    enum Refusal: Error {
        case unreadable(String)
        /// Somebody writes to this file of the chain.
        case inUse(String)
    }

    init(_ image: FrozenImage) throws(Refusal) {
        self.image = image
        do { chain = try ImageChain(of: image) } catch { throw .unreadable(error.reason) }
        locks = try chain.layers.map { layer throws(Refusal) in
            let lock: ImageLock?
            do throws(ReadFailure) {
                lock = try ImageLock(layer.path)
            } catch {
                throw .unreadable(error.reason)
            }
            guard let lock else { throw .inUse(layer.path) }
            return lock
        }
    }
}

extension FrozenDisk {
    /// - Throws: who writes to it, or why it cannot be read.
    init(_ disk: MemberReport.Disk) throws(Failure) {
        do throws(Refusal) {
            try self.init(FrozenImage(target: disk.target.description, path: disk.frozenImage, format: disk.format))
        } catch {
            switch error {
            case .unreadable(let reason):
                throw Failure(.refused, "the frozen image of \(disk.target) cannot be read: \(reason)")
            case .inUse(let path):
                throw Failure(
                    .busy, "\(ImageCheckError.imageInUse(image: path, holder: ImageHolder.writer(of: path)))")
            }
        }
    }
}
