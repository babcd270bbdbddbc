// SPDX-License-Identifier: Apache-2.0

/// Bytes from a guest's disk, read by offset. What lies past the end reads as zero: a short or hostile block fails its
/// magic or its checksum, and never traps.
struct Block: Sendable {
    let bytes: [UInt8]

    init(_ bytes: some Sequence<UInt8>) {
        self.bytes = Array(bytes)
    }

    subscript(offset: Int) -> UInt8 {
        bytes.indices.contains(offset) ? bytes[offset] : 0
    }

    func slice(_ offset: Int, _ count: Int) -> ArraySlice<UInt8> {
        let start = min(max(offset, 0), bytes.count)
        return bytes[start..<(start + min(max(count, 0), bytes.count - start))]
    }

    func little<Word: FixedWidthInteger & UnsignedInteger>(_ offset: Int, as type: Word.Type) -> Word {
        let width = Word.bitWidth / 8
        return (0..<width).reduce(0) { $0 | Word(self[offset + $1]) << Word($1 * 8) }
    }

    func big<Word: FixedWidthInteger & UnsignedInteger>(_ offset: Int, as type: Word.Type) -> Word {
        little(offset, as: type).byteSwapped
    }

    func has(_ text: String, at offset: Int) -> Bool {
        slice(offset, text.utf8.count).elementsEqual(text.utf8)
    }

    func isZero(_ offset: Int, _ count: Int) -> Bool {
        slice(offset, count).allSatisfy { $0 == 0 }
    }

    /// Sixteen bytes in the form `8-4-4-4-12`.
    func uuid(_ offset: Int) -> String? {
        guard !isZero(offset, 16) else { return nil }
        let digits = Array("0123456789abcdef")
        var text = ""
        for (index, byte) in slice(offset, 16).enumerated() {
            if [4, 6, 8, 10].contains(index) { text.append("-") }
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return text
    }
}
