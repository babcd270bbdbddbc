// SPDX-License-Identifier: Apache-2.0

import CLibvirt
import Glibc

// The only two functions that know how libvirt's C calls fail. Both read the error on the calling thread, at once:
// libvirt keeps the last error per thread and forgets it at the next call.

/// The status of a call that answers -1 when it fails.
@discardableResult
func checked(_ call: String, _ body: () -> CInt) throws(LibvirtError) -> CInt {
    let status = body()
    guard status >= 0 else { throw .last(after: call) }
    return status
}

/// The pointer of a call that answers NULL when it fails; the caller owns what it points to.
func owned<Pointer>(_ call: String, _ body: () -> Pointer?) throws(LibvirtError) -> Pointer {
    guard let pointer = body() else { throw .last(after: call) }
    return pointer
}

/// The text of a call that returns a C string to be freed by the caller.
func text(_ call: String, _ body: () -> UnsafeMutablePointer<CChar>?) throws(LibvirtError) -> String {
    let bytes = try owned(call, body)
    defer { free(bytes) }
    // Strictly: a guest writes the agent's replies, and a silently repaired name would be another name.
    guard let text = String(validatingCString: bytes) else {
        throw LibvirtError(code: .internalError, message: "the text returned is not valid UTF-8", call: call)
    }
    return text
}

/// The objects of a call that returns their number and an array of them, both to be freed by the caller.
func list<Object>(
    _ call: String, _ body: (_ array: UnsafeMutablePointer<UnsafeMutablePointer<OpaquePointer?>?>) -> CInt,
    _ object: (OpaquePointer) -> Object
) throws(LibvirtError) -> [Object] {
    var array: UnsafeMutablePointer<OpaquePointer?>?
    let count = try checked(call) { body(&array) }
    defer { free(array) }
    return UnsafeBufferPointer(start: array, count: Int(count)).compactMap { $0.map(object) }
}

/// What the call gives, or nil when it fails with one of the codes that mean "there is none".
func optional<Value>(
    unless codes: LibvirtError.Code..., body: () throws(LibvirtError) -> Value
) throws(LibvirtError) -> Value? {
    do {
        return try body()
    } catch  where codes.contains(error.code) {
        return nil
    }
}
