// SPDX-License-Identifier: Apache-2.0

import Quiesce

extension LayerStore {
    var withFailpoints: any LayerStore {
        #if FAILPOINTS
        FailingLayers(port: self)
        #else
        self
        #endif
    }
}

#if FAILPOINTS
private struct FailingLayers: LayerStore {
    let port: any LayerStore

    func chain(of image: ImageLayer) async throws(Failure) -> [ImageLayer] {
        try await Failpoint.around("layers.chain", Failpoint.broken) { () async throws(Failure) in
            try await port.chain(of: image)
        }
    }

    func imagesLying(
        on images: Set<String>, apartFrom raw: Set<String>
    ) async throws(Failure) -> [String: Set<String>] {
        try await Failpoint.around("layers.imagesLying", Failpoint.broken) { () async throws(Failure) in
            try await port.imagesLying(on: images, apartFrom: raw)
        }
    }

    func open(among images: [String]) async throws(Failure) -> [String] {
        try await Failpoint.around("layers.open", Failpoint.broken) { () async throws(Failure) in
            try await port.open(among: images)
        }
    }

    func virtualSize(of image: ImageLayer) async throws(Failure) -> Int64 {
        try await Failpoint.around("layers.virtualSize", Failpoint.broken) { () async throws(Failure) in
            try await port.virtualSize(of: image)
        }
    }

    func allocatedBytes(of image: String) async -> Int64? { await port.allocatedBytes(of: image) }

    func freeBytes(in folder: String) async -> Int64? { await port.freeBytes(in: folder) }

    func merge(
        _ top: ImageLayer, into base: ImageLayer, options: MergeOptions, progress: @escaping @Sendable (Double) -> Void
    ) async throws(Failure) {
        try await Failpoint.around("layers.merge", Failpoint.broken) { () async throws(Failure) in
            try await port.merge(top, into: base, options: options, progress: progress)
        }
    }

    func rest(_ image: ImageLayer, on base: ImageLayer) async throws(Failure) {
        try await Failpoint.around("layers.rest", Failpoint.broken) { () async throws(Failure) in
            try await port.rest(image, on: base)
        }
    }
}
#endif
