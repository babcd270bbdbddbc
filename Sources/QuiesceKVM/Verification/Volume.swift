// SPDX-License-Identifier: Apache-2.0

/// Bytes laid out on disks: a whole disk, a partition, or a logical volume, read as if it were one flat device.
struct Volume: ByteSource {
    /// Where a column of a segment begins.
    struct Column: Sendable, Equatable {
        let disk: Int
        let offset: UInt64
    }

    /// A run of the volume, dealt out over its columns in chunks; one column is a linear run.
    struct Segment: Sendable, Equatable {
        let length: UInt64
        let columns: [Column]
        let chunk: UInt64
    }

    /// A run that lies in one piece on one disk.
    struct Piece: Equatable {
        let disk: Int
        let offset: UInt64
        let length: UInt64
    }

    let disks: [any ByteSource]
    let segments: [Segment]
    let size: UInt64

    /// Nil if any part of it lies outside its disk, or the numbers do not add up: later sums cannot overflow.
    init?(disks: [any ByteSource], segments: [Segment]) {
        var size: UInt64 = 0
        for segment in segments {
            let columns = UInt64(segment.columns.count)
            guard columns > 0, segment.chunk > 0, segment.length > 0, segment.length % columns == 0 else { return nil }
            let share = segment.length / columns
            guard share % segment.chunk == 0 else { return nil }
            for column in segment.columns {
                let (end, overflow) = column.offset.addingReportingOverflow(share)
                guard disks.indices.contains(column.disk), !overflow, end <= disks[column.disk].size else { return nil }
            }
            let (sum, overflow) = size.addingReportingOverflow(segment.length)
            guard !overflow, sum < UInt64(Int64.max) else { return nil }
            size = sum
        }
        self.disks = disks
        self.segments = segments
        self.size = size
    }

    /// One run of one disk.
    init?(disks: [any ByteSource], disk: Int, offset: UInt64, length: UInt64) {
        let column = Column(disk: disk, offset: offset)
        self.init(disks: disks, segments: [Segment(length: length, columns: [column], chunk: length)])
    }

    /// The one piece that is all of the volume, if it is not scattered.
    var flat: Piece? {
        let whole = piece(at: 0, upTo: size)
        return whole?.length == size ? whole : nil
    }

    /// Indices of the disks that carry it.
    var carriers: Set<Int> { Set(segments.flatMap(\.columns).map(\.disk)) }

    /// The longest run at `position` that is one piece, at most `limit` long; nil at the end.
    func piece(at position: UInt64, upTo limit: UInt64) -> Piece? {
        var start = position
        for (index, segment) in segments.enumerated() {
            guard start >= segment.length else {
                var piece = segment.piece(at: start, upTo: limit)
                guard start + piece.length == segment.length else { return piece }
                // Adjoining segments are common: LVM writes one for each extension of a volume.
                for next in segments.dropFirst(index + 1) where piece.length < limit {
                    let more = next.piece(at: 0, upTo: limit - piece.length)
                    guard more.disk == piece.disk, more.offset == piece.offset + piece.length else { break }
                    piece = Piece(disk: piece.disk, offset: piece.offset, length: piece.length + more.length)
                    guard more.length == next.length else { break }
                }
                return piece
            }
            start -= segment.length
        }
        return nil
    }

    func read(at offset: UInt64, count: Int) throws(ReadFailure) -> [UInt8] {
        var bytes: [UInt8] = []
        let wanted = available(at: offset, count: count)
        while bytes.count < wanted {
            let rest = UInt64(wanted - bytes.count)
            guard let piece = piece(at: offset + UInt64(bytes.count), upTo: rest) else { break }
            let run = try disks[piece.disk].read(at: piece.offset, count: Int(piece.length))
            guard UInt64(run.count) == piece.length else { throw ReadFailure(reason: "the disk ends early") }
            bytes += run
        }
        return bytes
    }
}

extension Volume.Segment {
    fileprivate func piece(at position: UInt64, upTo limit: UInt64) -> Volume.Piece {
        let (number, within) = position.quotientAndRemainder(dividingBy: chunk)
        let (row, column) = number.quotientAndRemainder(dividingBy: UInt64(columns.count))
        let start = columns[Int(column)]
        return Volume.Piece(
            disk: start.disk, offset: start.offset + row * chunk + within, length: min(limit, chunk - within))
    }
}
