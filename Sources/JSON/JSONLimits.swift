// SPDX-License-Identifier: Apache-2.0

/// How much of a text is read at most. Both are checked before json-c sees the text.
public struct JSONLimits: Sendable, Hashable {
    /// The deepest nesting that can be asked for, and the deepest that is written; it bounds all recursion here.
    public static let deepest = 64
    /// 1 MiB and 16 levels: the bounds for what a guest sends.
    public static let `default` = JSONLimits(bytes: 1 << 20, depth: 16)

    /// The longest text, in bytes, 1 to 64 MiB.
    public let bytes: Int
    /// Arrays and objects open at once, 1 to `deepest`.
    public let depth: Int

    /// Values outside the ranges are moved to the nearest end.
    public init(bytes: Int, depth: Int) {
        self.bytes = min(max(bytes, 1), 64 << 20)
        self.depth = min(max(depth, 1), Self.deepest)
    }
}
