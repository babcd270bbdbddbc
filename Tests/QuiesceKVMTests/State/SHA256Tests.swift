// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import QuiesceKVM

@Suite("SHA-256")
struct SHA256Tests {
    @Test(
        "the vectors of FIPS 180-4 come out",
        arguments: [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
            (
                "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
                "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
            ),
        ])
    func vectors(text: String, digest: String) {
        #expect(SHA256.hex(of: text.utf8) == digest)
    }

    @Test("sha256sum agrees around the ends of blocks", arguments: [54, 55, 56, 57, 63, 64, 65, 119, 120, 128, 10_000])
    func lengths(count: Int) throws {
        let scratch = try ScratchFolder()
        let text = String(repeating: "x", count: count)
        try scratch.write(text, to: "file")
        let theirs = try Shell.run(#"sha256sum <"$1""#, [scratch("file")]).output
        #expect(theirs.hasPrefix(SHA256.hex(of: text.utf8) + " "))
    }

    @Test(
        "a list of digests that says something else is none",
        arguments: [
            "", "\n", "x  y\n", "DIGEST  a", "DIGEST *a\n", "DIGEST  \n", "DIGEST  a/b\n", "DIGEST  ..\n",
            "DIGEST  a\n\n",
        ])
    func badList(text: String) {
        let text = text.replacing("DIGEST", with: SHA256.hex(of: []))
        #expect(DigestList(Array(text.utf8)) == nil)
    }
}
