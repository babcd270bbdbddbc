// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import QuiesceKVM

/// The first 11776 bytes (gzip, base64) of two physical volumes of 64 MiB as LVM 2.03.16 wrote them. Volume group
/// `vgdata`, extents of 1 MiB from 1 MiB on:
///
///     lvlinear   16 extents  pv0 at 0
///     lvstriped  16 extents  64 KiB chunks: pv0 at 16, pv1 at 0
///     lvsplit    18 extents  12 of pv0 at 24, 6 of pv1 at 8
///     lvadjoin    8 extents  4 of pv0 at 36, 4 of pv0 at 40
///     lvfar       4 extents  pv1 at 20
///     lvzero      2 extents  segment type zero
enum LVMFixture {
    /// Extents of the test group begin here, and are this long.
    static let extent: UInt64 = 1 << 20

    static let pv0 = """
        H4sIAAAAAAACA+1Ya27bRhBOiqJACBTtBQosGBR5IKMslxQlB3BRWqJk2ZQs27IVyzYEmqJkOnzIJEWLflyj5+hheoH+6P8eobvUw46jFIhR
        u2m6AxCcHXJ3Z76ZWczso0ec/s9kaCu6sdHQH0/Hf/S+/RUx+W6dIIyl3ZW0iYMTJ8StZl1unW6sr5CdsKS4qp/209Ee/fXryczv/36j2ec/
        v1v4+Sv6PObu4MSJEydOnDhx4sSJE6d7ox+e/CKirNkb7+e1H0PcePnT40X92jeT12/C5P07rj3j6P33KRn0zNhEF4LTQ8tI7JQi3a3BsXbm
        QrVFMKxXrB6cqcM6OHu9cziqDfUlQxQi+9QP6ARJ6AehZ8Zsrpt4hH6JzXgU0fG+uKVv1zq6tmLo4itER1qZvdtbtZYuHgp91xxk/x0K9ji2
        /bgbOec2FRCsFAXPHHfdhI5wxg6nrB2bTN+uFQwdO8pkwvA4jRzLdLtJ4I48Kr2gsgTPbZpcYQC7wwB2iQHsFgPYNQawewyYXGSIQs9OHIsp
        IL6m7Gs3CIZYFG4apBnGRklrZRa9ZwD9f6a9JEu4QISh3aUTw3hmDx1bwchnY1UWrpiG0lzDhls8To4g9eQGOEa+A2v5EwKNUsWA0k7SA5zq
        78ajhRpK96Yh1ZE+T1HV9u3QjO0eOkonJ0Vih5ET+IjksJyT1OfkBXpOMCGA8yAVX7xBdfqxESSIyAiTN4r6RlLoHkQVBCvwmauZUmKLuh1V
        JuGzm7kOVcNgNBSF2QYsvqjmkRU6w3giENuhE9uoHwYeSgZWaFPNEABdt+8M0LMJQtFF33FjO1zePxDNyzlW+1g6vDwQXx2I4WXuJeUOr0wr
        dhKTrX0xyiBKfWsZo4wPR64dLeOrZwgiJLHtslS5Do5rVspRN2TK0JW6x0GUJUTiiU+eIsPxR2OUeEjNScWcokDfgiS/lEdPJbRdb6Lmlq7X
        m61uea+h1Wsl9DNG46LaVZXrBWPHyxxXWMorWFoqKHTZj2P8kPlPeP5/wfnvBoPbwLqJ6/i2Gc51Pz85LvVL0NuVOmDojW1oH28RKBgdDaLV
        xhrEq7ipN2/Fxc1IoMxubbv2gcYfj/6FmUZDcuCxKJoZQY+OqYgBnZnanQRaFjbTmJv/TRMnTocZuFFMzxu7x3RmzHsrZpJMQ0GkQUa1x8Lh
        FK1kOnGOjZ3341gDf3NtE4LiahHWVV8BSToawNJ6GkK8vlJta18ENmQmmAUZKS5ES1JfMVa6BdzQdeI5bJvNwsZeG7zR7jakZ8FbcIZ1E06q
        NGGtQqcM1Xggp+1/ATbyabCRu4YUUTJopnuRD/eiS9/a7E7hy7xQvPaC2TsJHH/uhqqsV+QKuGuOBVZJMUFN3gVQGJ/bsLQjF2Bvs14vG599
        9Bbv6gVZvYbm3A6DOTCeERtJHtydJIKt1rs16MlSDY5O2+uQNDY64JWdrbL02QNzIzyZeeLM1v6N071V2q7s9AGfaR1IN49U0PJ6BKOydQ6t
        qHkKpPLWtZPP3lTlrtlBZofU1T9XDCvknorh/iC0ozgIH6Ag7tP9SC6mOk8KyAesfwnGZFH9O4eVN/UPV//LvP7n9T+v/3n9z+t/Xv/z+v+L
        qP9D2wtoVclbgHtsAeT7aAGY63zTu//yf1o0TlrFWcA8bAsgL2wBZN4CfCL9BYTZiukALgAA
        """

    static let pv1 = """
        H4sIAAAAAAACA+1Ya27bRhCOi6JA+Ke9QIEFgyIPZJTlkqLkAC5KS5Qsm5JlW7ZiOYZAU5RMhw+ZpGjRjv/0EL1Er9MLtCfIEbpLPew4SoEY
        tZsmOwDB2SF3d+abmcXMPnjA6WsmQ1vVjc2GvjQd//X7u18Rk+/VCcJYarjF4+Qo9eSGY+Q76/kT0ihVjNJu0sOp/mY8or9+O5n5wz9vNPv8
        7vuFn7+hzxJ3BydOnDhx4sSJEydOnDjdGf348DcRZc3e+CCv/RTixrOflxb1a99NXn8Ik/efuPaYo/f/p2TQM2MTXQhOD60gsVOKdLcGx9qZ
        C9UWwbBRsXpwpg7r4Oz3zuGoNtSXDVGI7FM/oBMkoR+EnhmzuW7iEfolNuNRRMcH4ra+U+vo2qqhi88RHWll9m5v11q6eCj0XXOQ/Xco2OPY
        9uNu5JzbVECwUhQ8c9x1EzrCGTucsnZsMn27VjB07CiTCcPjNHIs0+0mgTvyqPSCyhI8t2lvNW3iAE6cEEOrWZehdbq5AatkN4SS4qrgp/10
        tC8KPTtxLKaA+IKyL9wgGGJRuG6QZhibJa2VWfSeAfT/mfaSLOECEYZ2l04M45k9dGwFI5+NVVm4ZBpKcw0nlyzAblmAXbMAu2cBdtEC7KYF
        JlctCzWU7kxDqiN9HqGq7duhGds9dJROTorEDiMn8BHJYTknqU/IU/SEYEIA50EqPn2J6vRjI0gQkREmLxX1paTQPYgqCFbgM1czpcQWdTuq
        TMJnL3MdqobBaCgKsw1YfFHNIyt0hvFEILZDJ7ZRPww8lAys0KaaIQC6bt8ZoMcThKKLvuPGdrhy8Fo0386xOsDS4dvX4vPXYvg294xyh5em
        FTuJyda+GGUQpb61glHGhyPXjlbw5WMEEZLYdlmqXAXHFSvlqBsyZehK3eMgyhIi8cSHj5Dh+KMxSjyk5qRiTlGgb0GSX86jRxLaqTdRc1vX
        681Wt7zf0Oq1EvoFo3FR7arK1YKx42WOKyznFSwtFxS67Mcxvs/8Jzz/v+D8d4PBTWDdxHV82wznup+fHJf6JejtSR0w9MYOtI+3CRSMjgbR
        WmMd4jXc1Js34uJ6JFBmr7ZT+0Djj0f/wkyjITnwWBTNjKBHx1TEgM5M7U4CLQubaczN/6aJE6fDDNwopueN3WM6M+a9FTNJpqEg0iCj2mPh
        cIpWMp04x8bO+3Gsgb+1vgVBca0IG6qvgCQdDWB5Iw0h3littrUvAhsyE8yCjBQXoiWpzxkr3QBu6DrxHLatZmFzvw3eaG8H0rPgFTjDugkn
        VZqwVqFThmo8kNP2fwAb+TTYyG1DiigZNNO9yId70aVvbHar8GVeKF55weydBI4/d0NV1ityBdx1xwKrpJigJm8CKIzPbVjelQuwv1Wvl43P
        PnqLt/WCrF5Bc26HwRwYz4iNJA/ubhLBduvNOvRkqQZHp+0NSBqbHfDKznZZ+uyBuRaezDxxZmv/2uneKu1UdvuAz7QOpFtHKmh5PYJR2TqH
        VtQ8BVJ55drJZ2+qctvsILND6vLfK4YVckfFcH8Q2lEchPdQEPfpfiQXU50nBeQ91r8EY7Ko/p3Dypv6+6v/ZV7/8/qf1/+8/uf1P6//ef3/
        RdT/oe0FtKrkLcAdtgDyXbQAzHW+6d19+T8tGiet4ixg7rcFkBe2ADJvAT6R/gbU7rfZAC4AAA==
        """

    /// Bytes of one of them.
    static func bytes(_ packed: String, in bench: Bench) async throws -> [UInt8] {
        let name = "fixture-\(packed.hashValue)"
        try bench.write(
            [UInt8](try #require(Data(base64Encoded: packed, options: .ignoreUnknownCharacters))), to: name, at: 0)
        let result = try await Tool("gzip", package: "gzip").run(
            ["-dc", bench.path(name)], deadline: .now + .seconds(120))
        return result.output
    }
}
