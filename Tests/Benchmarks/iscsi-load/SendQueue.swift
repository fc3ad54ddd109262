import Glibc
import ISCSI

/// PDUs that wait to be sent, gathered into few system calls: headers out of the queue, data out of one buffer that all
/// of them share.
struct SendQueue: ~Copyable {
    /// One PDU. The header comes first, so that its address is the element's.
    private struct Entry {
        var header: BasicHeaderSegment
        var dataOffset: Int
        /// Padded to four.
        var dataLength: Int
    }

    /// Pieces of memory in one call: two for a PDU with data.
    private static let piecesAtOnce = 256

    /// System calls that sent something.
    private(set) var calls = 0
    private var entries: [Entry] = []
    private var next = 0
    /// What has been sent of the entry at `next`.
    private var sentOfNext = 0
    private let data: [UInt8]

    /// A queue whose data segments are parts of `data`.
    init(data: [UInt8]) {
        self.data = data
        entries.reserveCapacity(4096)
    }

    var isEmpty: Bool { next == entries.count }

    /// Adds a PDU with `header`'s data segment length of data from `dataOffset` on.
    @inline(__always)
    mutating func append(_ header: BasicHeaderSegment, dataOffset: Int = 0) {
        entries.append(
            Entry(header: header, dataOffset: dataOffset, dataLength: header.paddedDataSegmentLength))
    }

    /// Sends until the queue is empty or the socket takes no more.
    mutating func flush(to socket: borrowing TCPSocket) throws(LoadFailure) {
        while next < entries.count {
            let count = send(to: socket.descriptor)
            if count > 0 {
                calls += 1
                advance(by: count)
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR {
                throw LoadFailure("sending failed: \(TCPSocket.lastError)")
            }
        }
        entries.removeAll(keepingCapacity: true)
        next = 0
    }

    private func send(to descriptor: Int32) -> Int {
        unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: Self.piecesAtOnce) { pieces in
            unsafe entries.withUnsafeBytes { headers in
                unsafe data.withUnsafeBytes { data in
                    var count = 0
                    var index = next
                    var skip = sentOfNext
                    while index < entries.count, count + 2 <= Self.piecesAtOnce {
                        let length = BasicHeaderSegment.lengthBytes
                        let header = unsafe headers.baseAddress! + index * MemoryLayout<Entry>.stride
                        if skip < length {
                            unsafe pieces[count] = iovec(
                                iov_base: UnsafeMutableRawPointer(mutating: header + skip), iov_len: length - skip)
                            count += 1
                        }
                        let skipData = max(0, skip - length)
                        if entries[index].dataLength > skipData {
                            let start = unsafe data.baseAddress! + entries[index].dataOffset + skipData
                            unsafe pieces[count] = iovec(
                                iov_base: UnsafeMutableRawPointer(mutating: start),
                                iov_len: entries[index].dataLength - skipData)
                            count += 1
                        }
                        skip = 0
                        index += 1
                    }
                    var message = unsafe msghdr()
                    unsafe message.msg_iov = pieces.baseAddress
                    unsafe message.msg_iovlen = count
                    return unsafe sendmsg(
                        descriptor, &message, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
                }
            }
        }
    }

    private mutating func advance(by count: Int) {
        sentOfNext += count
        while next < entries.count {
            let length = BasicHeaderSegment.lengthBytes + entries[next].dataLength
            guard sentOfNext >= length else { return }
            sentOfNext -= length
            next += 1
        }
    }
}
