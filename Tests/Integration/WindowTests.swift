// SPDX-License-Identifier: Apache-2.0

import Foundation
import JSON
import Testing

extension Lab.Base {
    @Test("a filesystem thawed by hand inside the window is crash, and with --require filesystem no snapshot at all")
    func thawedByHand() async throws {
        let guest = try LabGuest.current
        // FITHAW a thousand times a second: fsfreeze(8) would take longer to start than the window lasts.
        try await guest.background(
            "it-thaw",
            """
            exec python3 -c '
            import fcntl, os, time
            folder = os.open("/srv/scratch", os.O_RDONLY)
            while True:
                try: fcntl.ioctl(folder, 0xC0045878, 0)
                except OSError: pass
                time.sleep(0.001)
            '
            """)
        let disks = ["--disk", "vdd", "--disk", "vde", "--max-freeze", "20s", "--json"]
        let taken = try await guest.stillpoint.run(["snapshot", guest.name, "--name", "thawed"] + disks)
        let report = try taken.json
        #expect(taken.exit == 11, "\(taken)")
        #expect(report.consistency == "crash")
        #expect(report.expected == 2 && report.frozen == 2 && report.thawed == 1, "\(taken)")
        #expect(report.reasons.contains { $0.contains("only 1 thawed") })
        #expect(taken.lastLine.hasPrefix("stillpoint: "))
        #expect(try await guest.stillpoint("commit", guest.name).exit == 0)

        let required = try await guest.stillpoint.run(
            ["snapshot", guest.name, "--name", "required", "--require", "filesystem"] + disks)
        try await guest.sh("systemctl stop it-thaw")
        try expectFailure(required, 12, "filesystem", isJSON: true)
        #expect(try await Virsh.snapshots(of: guest.name).isEmpty)
    }

    @Test(
        "a writer's numbers on two disks never differ by more than one write, frozen or not", arguments: [true, false])
    func oneMoment(isFrozen: Bool) async throws {
        let guest = try LabGuest.current
        // Written before, so that only data changes and no journal has to be replayed for the place of a record.
        try await guest.sh(
            """
            for f in /srv/data/ring /srv/scratch/ring; do
                [ -e $f ] || { dd if=/dev/zero of=$f bs=1M count=4 conv=fsync status=none; sync -f $f; }
            done
            """)
        try await guest.background("it-writer", "exec crosswriter /srv/data/ring /srv/scratch/ring")
        var last = 0
        for number in 1...5 {
            let taken = try await guest.stillpoint.run(
                ["snapshot", guest.name, "--disk", "vdd", "--disk", "vde", "--name", "cross\(number)", "--json"]
                    + (isFrozen ? ["--max-freeze", "20s"] : ["--no-freeze"]))
            try #require(taken.exit == 0, "\(taken)")
            let report = try taken.json
            try await Place.withFolder { folder in
                let data = try await highest(FrozenImage.one("vdd", of: report), in: folder)
                let scratch = try await highest(FrozenImage.one("vde", of: report), in: folder)
                #expect(data == scratch || data == scratch + 1, "snapshot \(number): \(data) and \(scratch)")
                #expect(scratch > last, "nothing was written since \(last)")
                last = scratch
            }
            #expect(try await guest.stillpoint("commit", guest.name).exit == 0)
        }
        try await guest.sh("systemctl stop it-writer")
    }

    /// The number of the newest whole record: 20 digits, dots, the same digits.
    private func highest(_ image: FrozenImage, in folder: String) async throws -> Int {
        let ring = Array(try await image.file("/ring", in: folder))
        return stride(from: 0, to: ring.count - 4095, by: 4096).map { start in
            let first = String(decoding: ring[start..<start + 20], as: UTF8.self)
            let last = String(decoding: ring[start + 4076..<start + 4096], as: UTF8.self)
            return first == last ? Int(first) ?? 0 : 0
        }.max() ?? 0
    }
}
