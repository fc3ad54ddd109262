import Glibc
import ISCSI
import Reactor

/// PDUs on their way into one gathered send: headers, the vectors over them and their payloads, and the slots that are
/// free once they are sent.
@safe
struct TransmitStage: ~Copyable {
    /// PDUs a send; three vectors each at most (header, payload, padding and digest).
    static let maximumPDUs = 64
    /// Bytes a send, so that one large transfer does not make small ones wait long.
    static let maximumBytes = 1 << 20
    /// A header, its digest, inline data, and the end of the PDU.
    private static let recordBytes = 128
    private static let trailerOffset = 112

    private var records: UnsafeMutableRawPointer?
    private var vectors: UnsafeMutablePointer<iovec>?
    private var message: UnsafeMutablePointer<msghdr>?
    private var recordCount = 0
    private var vectorCount = 0
    private var firstVector = 0
    private(set) var bytesLeft = 0
    private(set) var slots: ContiguousArray<PayloadSlot> = []
    private(set) var closesConnection = false

    init() {}

    deinit {
        unsafe records?.deallocate()
        unsafe vectors?.deallocate()
        unsafe message?.deallocate()
    }

    var isFull: Bool { @inline(__always) get { recordCount == Self.maximumPDUs || bytesLeft >= Self.maximumBytes } }
    var isEmpty: Bool { recordCount == 0 }

    private mutating func allocate() {
        unsafe records = .allocate(byteCount: Self.maximumPDUs * Self.recordBytes, alignment: 64)
        unsafe vectors = .allocate(capacity: Self.maximumPDUs * 3)
        unsafe vectors?.initialize(repeating: iovec(), count: Self.maximumPDUs * 3)
        unsafe message = .allocate(capacity: 1)
        unsafe message?.initialize(to: msghdr())
    }

    /// Adds a PDU. `payload` is where its data segment lies, nil when it is inline or empty.
    @inline(__always)
    mutating func append(
        _ pdu: OutboundPDU, payload: UnsafeMutableRawPointer?, headerDigest: Bool, dataDigest: Bool
    ) {
        if unsafe records == nil { allocate() }
        guard let records = unsafe records else { return }
        let record = unsafe records + recordCount * Self.recordBytes
        recordCount += 1
        unsafe record.storeBytes(of: pdu.header.words, as: InlineArray<6, UInt64>.self)
        var recordLength = BasicHeaderSegment.lengthBytes
        if headerDigest {
            var digest = RunningDigest()
            unsafe digest.update(record, recordLength)
            unsafe record.storeBytes(of: digest.final.littleEndian, toByteOffset: recordLength, as: UInt32.self)
            recordLength += 4
        }
        let dataLength = pdu.inlineLength > 0 ? pdu.inlineLength : pdu.payloadLength
        let padding = BasicHeaderSegment.padding(dataLength)
        var digest = RunningDigest()
        if pdu.inlineLength > 0 {
            // At most 48 bytes, padded with the zeros that are there already: 48 + 4 + 48 + 4 fit the record.
            unsafe record.storeBytes(of: pdu.inlineData, toByteOffset: recordLength, as: InlineArray<6, UInt64>.self)
            if dataDigest { unsafe digest.update(record + recordLength, dataLength + padding) }
            recordLength += dataLength + padding
            if dataDigest {
                unsafe record.storeBytes(of: digest.final.littleEndian, toByteOffset: recordLength, as: UInt32.self)
                recordLength += 4
            }
            unsafe add(record, recordLength)
        } else {
            unsafe add(record, recordLength)
            if dataLength > 0, let payload = unsafe payload {
                unsafe add(payload + pdu.payloadOffset, dataLength)
                let trailer = unsafe record + Self.trailerOffset
                unsafe trailer.storeBytes(of: 0, as: UInt64.self)
                var trailerLength = padding
                if dataDigest {
                    unsafe digest.update(payload + pdu.payloadOffset, dataLength)
                    unsafe digest.update(trailer, padding)
                    unsafe trailer.storeBytes(of: digest.final.littleEndian, toByteOffset: padding, as: UInt32.self)
                    trailerLength += 4
                }
                if trailerLength > 0 { unsafe add(trailer, trailerLength) }
            }
        }
        if pdu.releasesPayload { slots.append(PayloadSlot(rawValue: pdu.payload.value)) }
        if pdu.closesConnection { closesConnection = true }
    }

    /// Has a slot released with those of the send in flight, which may read from it.
    mutating func keep(_ slot: PayloadSlot) { slots.append(slot) }

    /// Makes the digest of the PDU that was added last wrong: that of its data where it has one, else that of its header.
    /// False when it has neither.
    mutating func spoilDigest(of pdu: OutboundPDU, headerDigest: Bool, dataDigest: Bool) -> Bool {
        guard recordCount > 0, let records = unsafe records else { return false }
        let dataLength = pdu.inlineLength > 0 ? pdu.inlineLength : pdu.payloadLength
        let place: Int
        if dataDigest, pdu.inlineLength > 0 {
            place =
                BasicHeaderSegment.lengthBytes + (headerDigest ? 4 : 0) + dataLength
                + BasicHeaderSegment.padding(dataLength)
        } else if dataDigest, dataLength > 0 {
            place = Self.trailerOffset + BasicHeaderSegment.padding(dataLength)
        } else if headerDigest {
            place = BasicHeaderSegment.lengthBytes
        } else {
            return false
        }
        let digest = unsafe records + (recordCount - 1) * Self.recordBytes + place
        unsafe digest.storeBytes(of: digest.load(as: UInt8.self) ^ 0x10, as: UInt8.self)
        return true
    }

    @inline(__always)
    private mutating func add(_ address: UnsafeMutableRawPointer, _ length: Int) {
        unsafe vectors?[vectorCount] = iovec(iov_base: address, iov_len: length)
        vectorCount += 1
        bytesLeft += length
    }

    /// Queues the send of everything that is not sent yet.
    mutating func send(to descriptor: Int32, ring: inout Ring, token: UInt64) {
        guard let message = unsafe message, let vectors = unsafe vectors else { return }
        unsafe message.pointee.msg_iov = vectors + firstVector
        unsafe message.pointee.msg_iovlen = vectorCount - firstVector
        unsafe ring.send(to: descriptor, message: message, token: token)
    }

    /// Records that `count` bytes went out; true when all have.
    mutating func sent(_ count: Int) -> Bool {
        bytesLeft -= count
        if bytesLeft == 0 { return true }
        var count = count
        while let vectors = unsafe vectors, count > 0 {
            let length = unsafe vectors[firstVector].iov_len
            if count >= length {
                count -= length
                firstVector += 1
            } else {
                unsafe vectors[firstVector].iov_base += count
                unsafe vectors[firstVector].iov_len -= count
                count = 0
            }
        }
        return false
    }

    /// Empties the stage after a whole send; its slots go to `release`.
    @inline(__always)
    mutating func releaseAll(_ release: (PayloadSlot) -> Void) {
        for slot in slots { release(slot) }
        slots.removeAll(keepingCapacity: true)
        recordCount = 0
        vectorCount = 0
        firstVector = 0
        bytesLeft = 0
    }
}

extension Connection {
    /// Gathers what is queued into one send, when none is in flight.
    @inline(__always)
    func flush() {
        guard !sendInFlight else { return }
        let parameters = machine.parameters
        let spoilsDigests = !digestsToSpoil.isEmpty
        while !transmit.isFull {
            if !loginOutput.isEmpty {
                let pdu = loginOutput.removeFirst()
                let payload: UnsafeMutableRawPointer? =
                    pdu.payload == .none
                    ? nil : unsafe reactor.pool.address(of: PayloadSlot(rawValue: pdu.payload.value))
                unsafe transmit.append(pdu, payload: payload, headerDigest: false, dataDigest: false)
                continue
            }
            guard let pdu = machine.nextOutput() else { break }
            let payload: UnsafeMutableRawPointer? =
                pdu.payload == .none ? nil : unsafe reactor.pool.address(of: PayloadSlot(rawValue: pdu.payload.value))
            unsafe transmit.append(
                pdu, payload: payload, headerDigest: parameters.headerDigest, dataDigest: parameters.dataDigest)
            if spoilsDigests { spoilDigest(of: pdu) }
        }
        guard !transmit.isEmpty else { return }
        sendInFlight = true
        transmit.send(to: descriptor, ring: &reactor.ring, token: token(.send, index, generation: generation))
    }

    /// A send ended.
    func sent(_ result: Int32) {
        reactor.markDirty(self)
        if result < 0, result != -EINTR, result != -EAGAIN {
            sendInFlight = false
            transmit.releaseAll { releaseOutput($0) }
            return cut()
        }
        guard transmit.sent(max(0, Int(result))) else {
            if isClosing {
                sendInFlight = false
                return
            }
            transmit.send(to: descriptor, ring: &reactor.ring, token: token(.send, index, generation: generation))
            return
        }
        sendInFlight = false
        transmit.releaseAll { releaseOutput($0) }
        if transmit.closesConnection { return cut() }
        guard !readsAwaitingOutput.isEmpty else { return }
        let waiting = readsAwaitingOutput
        readsAwaitingOutput.removeAll(keepingCapacity: true)
        for task in waiting { resumeJob(task) }
    }
}
