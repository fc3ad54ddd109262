/// A connection in the full feature phase, seen from the target, at error recovery level 0 (RFC 7143 sections 4 and 7).
///
/// The machine takes headers and the driver's decisions, and yields what to do with the data behind a header and which
/// PDUs to send. It owns no socket, no clock and no payload memory: a driver lends buffers by number. What that gains is
/// a protocol that two of them, or a fuzzer, can drive with no kernel in between; what it costs is that the driver
/// must follow the order written at each function. A queue of action values was turned down: a header has exactly one
/// outcome, so the outcome is the return value and nothing is stored.
///
/// MaxConnections is 1 (no initiator in use asks for more), so connection and session are one thing, and commands
/// arrive in CmdSN order by TCP's own order.
public struct FullFeatureConnection: ~Copyable {
    /// Places in the task table: the CmdSN window and the reserve for immediate commands.
    public let taskCapacity: Int
    /// The negotiated values. MaxRecvDataSegmentLength may change by a later text negotiation.
    public var parameters: TransferParameters

    private let isDiscovery: Bool
    private var table: TaskTable
    private var expCmdSN: SerialNumber
    /// A place freed is a command number granted, and a number used takes a place, so this never goes back.
    private var maxCmdSN: SerialNumber {
        @inline(__always) get { expCmdSN + UInt32(table.freeWindowCount) - 1 }
    }
    private var statSN: SerialNumber
    private var output = OutputQueue()
    /// Responses that wait for the end of unsolicited data; seldom any.
    private var held = ContiguousArray<OutputItem>()
    private var outstandingPing: TargetTransferTag?
    private var nextPing: UInt32 = 1
    private var logoutReceived = false
    /// The ITT, LUN of the request whose data segment is being collected (ping, text).
    private var pendingHeader = BasicHeaderSegment()

    /// Immediate commands that may be in flight beside a full window (RFC 7143 section 4.2.2.1 lets a target bound them).
    public static let immediateReserve = 8
    /// Replies that may wait for a peer that does not read, beside those of its commands, before nothing more is taken
    /// from its socket.
    public static let maximumControlReplies = 64

    /// A connection that has just left login, with the numbers that login ended with.
    ///
    /// - Parameters:
    ///   - expCmdSN: The CmdSN the next non-immediate request must have.
    ///   - statSN: The StatSN of the next response.
    ///   - commandWindow: Commands that may be in flight, 1...32768.
    public init(
        parameters: TransferParameters, isDiscovery: Bool, expCmdSN: SerialNumber, statSN: SerialNumber,
        commandWindow: Int
    ) {
        self.parameters = parameters
        self.isDiscovery = isDiscovery
        self.expCmdSN = expCmdSN
        self.statSN = statSN
        taskCapacity = commandWindow + Self.immediateReserve
        table = TaskTable(window: commandWindow, reserve: Self.immediateReserve)
    }

    /// A task, for reading.
    @inline(__always)
    public func task(_ index: TaskIndex) -> Task { table[index] }

    /// The place of the task with that tag.
    public func find(_ tag: InitiatorTaskTag) -> TaskIndex? { table.find(tag) }

    /// Whether anything waits to be sent.
    @inline(__always)
    public var hasOutput: Bool { !output.isEmpty }

    /// Whether the driver should go on reading from the socket: false while a peer that does not read its replies has
    /// as many waiting as it may.
    public var wantsInput: Bool { output.count < taskCapacity * 2 + Self.maximumControlReplies }

    /// Commands in flight.
    public var tasksInFlight: Int { table.tasks.reduce(0) { $0 + ($1.state == .free ? 0 : 1) } }

    /// Calls `body` for every place in use.
    public func forEachTask(_ body: (TaskIndex, Task) -> Void) {
        for index in table.tasks.indices where table.tasks[index].state != .free {
            body(TaskIndex(index), table.tasks[index])
        }
    }

    // MARK: Headers

    /// Takes a header (its digest already verified). Call it once the previous PDU's data segment is in.
    ///
    /// - Parameter additional: The additional header segments, empty when there are none.
    @inline(__always)
    public mutating func receive(_ header: BasicHeaderSegment, additional: RawSpan) -> Inbound {
        guard header.dataSegmentLength <= parameters.maximumReceiveBytes else { return .violation(.dataSegmentTooLong) }
        guard let opcode = header.opcode, opcode.isFromInitiator else {
            reject(header, .commandNotSupported)
            return .violation(.opcodeUnknown)
        }
        // After a logout request nothing else may come but answers to our own pings.
        if logoutReceived { return .ignore }
        switch opcode {
        case .scsiCommand: return receiveCommand(header, additional)
        case .scsiDataOut: return receiveDataOut(header)
        default: return receiveRequest(header, opcode)
        }
    }

    /// Whether a non-immediate request is the next in order; moves the window on when it is.
    private enum Order { case next, ignored, gap }

    @inline(__always)
    private mutating func order(_ header: BasicHeaderSegment) -> Order {
        if header[.immediate] { return .next }
        let cmdSN = header[.cmdSN]
        if cmdSN == expCmdSN, cmdSN <= maxCmdSN {
            expCmdSN += 1
            return .next
        }
        // Outside the window, or a duplicate inside it: silently ignored (RFC 7143 section 4.2.2.1).
        return cmdSN > expCmdSN && cmdSN <= maxCmdSN ? .gap : .ignored
    }

    @inline(__always)
    private mutating func receiveCommand(_ header: BasicHeaderSegment, _ additional: RawSpan) -> Inbound {
        let dataLength = header.dataSegmentLength
        let expected = Int(header[.expectedDataTransferLength])
        let writes = header[.write]
        if isDiscovery {
            reject(header, .protocolError)
            return .violation(.opcodeNotAllowed)
        }
        if additional.byteCount > 0, !Self.areWellFormed(additional) { return .violation(.additionalHeaderInvalid) }
        let tag = header.initiatorTaskTag
        if tag.isReserved { return .violation(.reservedTaskTag) }
        switch order(header) {
        case .next: break
        case .ignored: return .ignore
        case .gap: return .violation(.commandOutOfOrder)
        }
        if table.find(tag) != nil {
            reject(header, .taskInProgress)
            return .violation(.taskTagInUse)
        }
        if dataLength > 0 {
            guard parameters.immediateData else { return .violation(.immediateDataNotNegotiated) }
            guard dataLength <= min(parameters.firstBurstBytes, expected), writes else {
                return .violation(.immediateDataTooLong)
            }
        }
        let isFinal = header[.final]
        if !isFinal {
            guard writes, !parameters.initialR2T else { return .violation(.unsolicitedDataNotNegotiated) }
        }
        guard let index = table.insert(tag, immediate: header[.immediate]) else {
            // The window keeps ordinary commands within their places, so only the immediate reserve can be empty.
            reject(header, .immediateCommandReject)
            return .ignore
        }
        table[index].lun = header[.lun]
        table[index].cmdSN = header[.cmdSN]
        table[index].announcesDataOut = writes
        table[index].expectsDataIn = header[.read]
        table[index].expectedBytes = expected
        table[index].unsolicitedFollows = !isFinal
        table[index].unsolicitedEnd = isFinal ? dataLength : min(parameters.firstBurstBytes, expected)
        table[index].cdb = [header.words[4], header.words[5]]
        return .command(index)
    }

    private static func areWellFormed(_ additional: RawSpan) -> Bool {
        var cursor = AdditionalHeaderCursor()
        do throws(AdditionalHeaderFault) {
            while let segment = try cursor.next(in: additional) {
                if segment.kind == .bidirectionalReadLength { return false }
            }
            return true
        } catch {
            return false
        }
    }

    @inline(__always)
    private mutating func receiveDataOut(_ header: BasicHeaderSegment) -> Inbound {
        let length = header.dataSegmentLength
        let offset = Int(header[.bufferOffset])
        let transferTag = header[.targetTransferTag]
        guard let index = table.find(header.initiatorTaskTag) else {
            // Its task was aborted or answered while this was on its way.
            return .ignore
        }
        let task = table[index]
        if transferTag.isReserved {
            guard task.unsolicitedFollows else {
                return task.state == .aborted || task.state == .responding
                    ? .ignore : .violation(.unsolicitedDataNotNegotiated)
            }
            guard offset == task.receivedBytes else { return .violation(.dataOutOutOfOrder) }
            guard offset + length <= task.unsolicitedEnd else { return .violation(.unsolicitedDataTooLong) }
        } else {
            guard transferTag == self.transferTag(index), task.solicitedEnd > 0 else { return .ignore }
            guard offset == task.receivedBytes else { return .violation(.dataOutOutOfOrder) }
            guard offset + length <= task.solicitedEnd else { return .violation(.dataOutTooLong) }
        }
        if header[.final] {
            if transferTag.isReserved {
                table[index].unsolicitedFollows = false
                table[index].unsolicitedEnd = offset + length
            } else if offset + length != task.solicitedEnd {
                return .violation(.dataOutShort)
            }
        }
        // A DataSN out of order says that a PDU was lost; it is answered as a digest error of that PDU (RFC 7143 7.9, 7.8):
        // nothing further is kept, and the command ends with PROTOCOL SERVICE CRC ERROR once its data is over.
        if header[.dataSN] != task.dataOutSN { table[index].dataDigestFailed = true }
        table[index].dataOutSN &+= 1
        return .dataOut(index, offset: offset)
    }

    private mutating func receiveRequest(_ header: BasicHeaderSegment, _ opcode: Opcode) -> Inbound {
        switch opcode {
        case .nopOut:
            let answered = header[.targetTransferTag]
            if !answered.isReserved, answered == outstandingPing { outstandingPing = nil }
            guard !header.initiatorTaskTag.isReserved else { return .ignore }
            if order(header) != .next { return .ignore }
            pendingHeader = header
            return .ping(keepBytes: min(header.dataSegmentLength, parameters.maximumSendBytes))
        case .taskManagementRequest:
            if isDiscovery {
                reject(header, .protocolError)
                return .violation(.opcodeNotAllowed)
            }
            if order(header) != .next { return .ignore }
            return .taskManagement(
                TaskManagement(
                    function: TaskManagementFunction(rawValue: header[.function]),
                    initiatorTaskTag: header.initiatorTaskTag, lun: header[.lun],
                    referencedTaskTag: header[.referencedTaskTag], refCmdSN: header[.refCmdSN]))
        case .textRequest:
            if order(header) != .next { return .ignore }
            pendingHeader = header
            return .text
        case .logoutRequest:
            if order(header) != .next { return .ignore }
            guard let reason = LogoutReason(rawValue: header[.logoutReason]) else {
                reject(header, .invalidPDUField)
                return .ignore
            }
            pendingHeader = header
            logoutReceived = true
            return .logout(reason)
        case .snackRequest:
            // SNACK belongs to error recovery levels 1 and 2 (RFC 7143 section 11.16).
            reject(header, .snackReject)
            return .ignore
        default:
            reject(header, .protocolError)
            return .violation(.opcodeNotAllowed)
        }
    }

    // MARK: Data-Out

    private func transferTag(_ index: TaskIndex) -> TargetTransferTag {
        TargetTransferTag(UInt32(table[index].generation & 0x7fff) << 16 | UInt32(index.value))
    }

    /// Says what the device server wants of a new command: `wantedBytes` of Data-Out (0 when none), and how much the
    /// command moves by its CDB, in either direction, for the residual.
    ///
    /// Returns how many bytes of unsolicited data (immediate included) the initiator will send first.
    @inline(__always)
    public mutating func admit(_ index: TaskIndex, wantedBytes: Int, commandBytes: Int) -> Int {
        table[index].commandBytes = commandBytes
        let wanted = min(wantedBytes, table[index].announcesDataOut ? table[index].expectedBytes : 0)
        table[index].wantedBytes = wanted
        table[index].state = wanted > 0 ? .collecting : .executing
        return table[index].unsolicitedEnd
    }

    /// Whether Data-Out of the task at `offset` is wanted: how many of `lengthBytes` are to be kept, from the front.
    @inline(__always)
    public func keptBytes(_ index: TaskIndex, offset: Int, lengthBytes: Int) -> Int {
        let task = table[index]
        guard task.state == .collecting, !task.dataDigestFailed else { return 0 }
        return max(0, min(lengthBytes, task.wantedBytes - offset))
    }

    /// What a piece of Data-Out completed.
    public enum Arrival: BitwiseCopyable, Sendable {
        /// More of the same burst is to come.
        case partial
        /// The burst is in, and everything the device server wants.
        case complete
        /// The burst is in; ask for the next with `solicit` when there is a buffer for it.
        case burst
        /// The task has been answered or aborted; nothing of it is kept.
        case dropped
    }

    /// Records that a Data-Out segment (or immediate data) is in. `digestFailed` when its digest was wrong: a Reject is
    /// queued, and the command ends with that error once its data sequence is over.
    @inline(__always)
    public mutating func dataOutArrived(
        _ index: TaskIndex, lengthBytes: Int, header: BasicHeaderSegment, digestFailed: Bool
    ) -> Arrival {
        table[index].receivedBytes += lengthBytes
        if digestFailed {
            table[index].dataDigestFailed = true
            reject(header, .dataDigestError)
        }
        let task = table[index]
        if task.solicitedEnd > 0 {
            guard task.receivedBytes == task.solicitedEnd else { return .partial }
            table[index].solicitedEnd = 0
        } else if task.unsolicitedFollows {
            guard task.receivedBytes == task.unsolicitedEnd else { return .partial }
            table[index].unsolicitedFollows = false
        }
        switch task.state {
        case .draining:
            finishDraining(index)
            return .dropped
        case .collecting:
            guard task.receivedBytes >= task.wantedBytes || task.dataDigestFailed else { return .burst }
            table[index].state = .executing
            return .complete
        default:
            return .dropped
        }
    }

    /// Asks for the next burst, of at most `upToBytes` and MaxBurstLength. Returns its length. Call it when no burst of
    /// the task is outstanding and there is room for what it brings.
    public mutating func solicit(_ index: TaskIndex, upToBytes: Int) -> Int {
        let task = table[index]
        let length = min(upToBytes, parameters.maximumBurstBytes, task.wantedBytes - task.receivedBytes)
        precondition(length > 0 && task.solicitedEnd == 0 && task.state == .collecting, "nothing to solicit")
        table[index].solicitedEnd = task.receivedBytes + length
        table[index].dataOutSN = 0
        table[index].r2tSN &+= 1
        var header = BasicHeaderSegment(opcode: .r2t)
        header[.final] = true
        header[.lun] = task.lun
        header.initiatorTaskTag = task.initiatorTaskTag
        header[.targetTransferTag] = transferTag(index)
        header[.r2tSN] = task.r2tSN
        header[.bufferOffset] = UInt32(task.receivedBytes)
        header[.desiredDataTransferLength] = UInt32(length)
        output.append(OutputItem(kind: .r2t, task: index, pdu: OutboundPDU(header: header)))
        return length
    }

    // MARK: Answers to commands

    /// Queues data for the initiator out of a lent buffer, `lengthBytes` from its start, in order. The last call of a
    /// command that ends GOOD sets `endsCommand`: its status then travels in the last Data-In PDU.
    ///
    /// The sum of all lengths must not exceed the task's `expectedBytes`.
    @inline(__always)
    public mutating func sendData(
        _ index: TaskIndex, payload: PayloadReference, lengthBytes: Int, endsCommand: Bool
    ) {
        var pdu = OutboundPDU(header: BasicHeaderSegment())
        pdu.payload = payload
        pdu.payloadLength = lengthBytes
        output.append(OutputItem(kind: .dataIn, task: index, endsCommand: endsCommand, pdu: pdu))
        if endsCommand { table[index].state = .responding }
    }

    /// Queues the SCSI response. While data that the initiator announced or was asked for is still coming, the
    /// response waits for its end: the place, and so the tag, stays known until nothing more can arrive under it.
    ///
    /// - Parameters:
    ///   - status: The SCSI status byte.
    ///   - sense: Sense data, at most 46 bytes, empty for none.
    public mutating func respond(_ index: TaskIndex, status: UInt8, sense: RawSpan) {
        var pdu = OutboundPDU(header: BasicHeaderSegment(opcode: .scsiResponse))
        pdu.header[.status] = status
        if sense.byteCount > 0 {
            // The sense data's length, 2 bytes, goes before it (RFC 7143 section 11.4.7).
            var bytes = InlineArray<48, UInt8>(repeating: 0)
            let count = min(sense.byteCount, 46)
            bytes[1] = UInt8(count)
            for byte in 0..<count { bytes[2 + byte] = sense.unsafeLoadByte(byte) }
            pdu.inlineData = unsafe unsafeBitCast(bytes, to: InlineArray<6, UInt64>.self)
            pdu.inlineLength = 2 + count
            pdu.header.dataSegmentLength = pdu.inlineLength
        }
        let task = table[index]
        let waits =
            task.unsolicitedFollows || task.solicitedEnd > 0
            || (task.state == .collecting && task.unsolicitedEnd > task.receivedBytes)
        table[index].state = waits ? .draining : .responding
        let item = OutputItem(kind: .response, task: index, pdu: pdu)
        if waits { held.append(item) } else { output.append(item) }
    }

    private mutating func finishDraining(_ index: TaskIndex) {
        guard let place = held.firstIndex(where: { $0.task == index }) else { return }
        table[index].state = .responding
        output.append(held.remove(at: place))
    }

    /// Ends a task without a response (an abort). Queued PDUs of it are taken back; their buffers go to `release`. With
    /// `deviceServerBusy` the place stays taken until `forget`, because work of it is still in flight.
    ///
    /// Returns false when its response is already on its way, which then counts as its end.
    public mutating func abort(
        _ index: TaskIndex, deviceServerBusy: Bool, release: (PayloadReference) -> Void
    ) -> Bool {
        switch table[index].state {
        case .free: return false
        case .responding: return false
        case .aborted:
            // Its own initiator aborts it now, and wants to hear no more of it.
            table[index].statusOfAbort = 0
            return true
        default: break
        }
        _ = output.removeAll(of: index, release: release)
        held.removeAll { $0.task == index }
        if deviceServerBusy {
            table[index].state = .aborted
        } else {
            free(index)
        }
        return true
    }

    /// The same for a task that another initiator ended: its own initiator is told, by `status` (TASK ABORTED). With
    /// `deviceServerBusy` it is told by `forget`. A task whose answer is decided already keeps that; then this returns false.
    public mutating func abort(
        _ index: TaskIndex, status: UInt8, deviceServerBusy: Bool, release: (PayloadReference) -> Void
    ) -> Bool {
        switch table[index].state {
        case .free, .responding, .draining: return false
        case .aborted: return true
        case .new, .collecting, .executing: break
        }
        // An R2T that was not sent brings no data that the response would have to wait for.
        if output.removeAll(of: index, release: release) { table[index].solicitedEnd = 0 }
        if deviceServerBusy {
            table[index].state = .aborted
            table[index].statusOfAbort = status
        } else {
            respond(index, status: status, sense: RawSpan())
        }
        return true
    }

    /// Frees the place of an aborted task, whose last work in flight has ended, once its initiator has been told where it
    /// has to be.
    public mutating func forget(_ index: TaskIndex) {
        precondition(table[index].state == .aborted, "only an aborted task is forgotten")
        let status = table[index].statusOfAbort
        if status == 0 { return free(index) }
        respond(index, status: status, sense: RawSpan())
    }

    private mutating func free(_ index: TaskIndex) {
        table.remove(index)
    }

    // MARK: Answers to other requests

    /// Answers the ping whose header came last, with its data out of a lent buffer (`none` when it had none).
    public mutating func answerPing(payload: PayloadReference, lengthBytes: Int) {
        var header = BasicHeaderSegment(opcode: .nopIn)
        header[.final] = true
        header[.lun] = pendingHeader[.lun]
        header.initiatorTaskTag = pendingHeader.initiatorTaskTag
        header[.targetTransferTag] = .reserved
        header.dataSegmentLength = lengthBytes
        queueReady(header, payload: payload, lengthBytes: lengthBytes)
    }

    /// The header of the text request that came last.
    public var textRequest: TextRequest { TextRequest(header: pendingHeader) }

    /// Answers a text request: the header's flags and tags as the negotiation made them, its text in a lent buffer.
    public mutating func answerText(_ response: TextResponse, payload: PayloadReference, lengthBytes: Int) {
        var header = response.header
        header.dataSegmentLength = lengthBytes
        queueReady(header, payload: payload, lengthBytes: lengthBytes)
    }

    /// Answers the logout; the connection closes once that is sent.
    public mutating func answerLogout(_ result: LogoutResult) {
        var header = BasicHeaderSegment(opcode: .logoutResponse)
        header[.final] = true
        header[.response] = result.rawValue
        header.initiatorTaskTag = pendingHeader.initiatorTaskTag
        var pdu = OutboundPDU(header: header)
        pdu.closesConnection = result == .success
        output.append(OutputItem(kind: .ready, pdu: pdu))
    }

    /// Answers a task management request.
    public mutating func answerTaskManagement(_ tag: InitiatorTaskTag, _ result: TaskManagementResult) {
        var header = BasicHeaderSegment(opcode: .taskManagementResponse)
        header[.final] = true
        header[.response] = result.rawValue
        header.initiatorTaskTag = tag
        output.append(OutputItem(kind: .ready, pdu: OutboundPDU(header: header)))
    }

    /// Whether a ping of ours is unanswered.
    public var isPingOutstanding: Bool { outstandingPing != nil }

    /// Sends a ping (NOP-In that asks for an answer, RFC 7143 section 11.19), unless one is unanswered.
    public mutating func ping() {
        guard outstandingPing == nil else { return }
        let tag = TargetTransferTag(0x8000_0000 | nextPing)
        // Never the reserved tag, 0xffffffff.
        nextPing = nextPing == 0x7fff_fffe ? 1 : nextPing + 1
        outstandingPing = tag
        var header = BasicHeaderSegment(opcode: .nopIn)
        header[.final] = true
        header.initiatorTaskTag = .reserved
        header[.targetTransferTag] = tag
        output.append(OutputItem(kind: .ready, pdu: OutboundPDU(header: header)))
    }

    /// Tells the initiator something by itself (RFC 7143 section 11.9).
    public mutating func announce(_ event: AsyncEvent, parameter1: UInt16, parameter2: UInt16, parameter3: UInt16) {
        var header = BasicHeaderSegment(opcode: .asyncMessage)
        header[.final] = true
        header.initiatorTaskTag = .reserved
        header[.asyncEvent] = event.rawValue
        header[.asyncParameter1] = parameter1
        header[.asyncParameter2] = parameter2
        header[.asyncParameter3] = parameter3
        output.append(OutputItem(kind: .ready, pdu: OutboundPDU(header: header)))
    }

    /// Queues a Reject that carries the offending header (RFC 7143 section 11.17).
    public mutating func reject(_ offending: BasicHeaderSegment, _ reason: RejectReason) {
        var header = BasicHeaderSegment(opcode: .reject)
        header[.final] = true
        header[.response] = reason.rawValue
        header.initiatorTaskTag = .reserved
        header.dataSegmentLength = BasicHeaderSegment.lengthBytes
        var pdu = OutboundPDU(header: header)
        pdu.inlineData = offending.words
        pdu.inlineLength = BasicHeaderSegment.lengthBytes
        output.append(OutputItem(kind: .ready, pdu: pdu))
    }

    private mutating func queueReady(_ header: BasicHeaderSegment, payload: PayloadReference, lengthBytes: Int) {
        var pdu = OutboundPDU(header: header)
        pdu.payload = payload
        pdu.payloadLength = lengthBytes
        pdu.releasesPayload = payload != .none
        output.append(OutputItem(kind: .ready, pdu: pdu))
    }

    // MARK: Output

    /// The next PDU to send, nil when there is none. Numbers are given here, in the order of sending. A command whose
    /// last PDU this is has left the table.
    @inline(__always)
    public mutating func nextOutput() -> OutboundPDU? {
        if output.isEmpty { return nil }
        switch output.first.kind {
        case .dataIn: return nextDataIn()
        case .response: return nextResponse()
        case .r2t:
            var pdu = output.first.pdu
            output.removeFirst()
            // An R2T carries the next StatSN without using it (RFC 7143 section 11.8.3).
            pdu.header.setSequence(sequence)
            return pdu
        case .ready:
            var pdu = output.first.pdu
            output.removeFirst()
            pdu.header.setSequence(sequence)
            // A NOP-In of our own, with the reserved task tag, does not use up its StatSN (section 11.19.1).
            let isOwnPing =
                pdu.header[.opcode] == Opcode.nopIn.rawValue && pdu.header.initiatorTaskTag.isReserved
            if !isOwnPing { statSN += 1 }
            return pdu
        }
    }

    private var sequence: TargetSequence {
        @inline(__always) get { TargetSequence(statSN: statSN, expCmdSN: expCmdSN, maxCmdSN: maxCmdSN) }
    }

    @inline(__always)
    private mutating func nextDataIn() -> OutboundPDU {
        let item = output.first
        let index = item.task
        let left = item.pdu.payloadLength - item.progress
        let sequenceLeft = parameters.maximumBurstBytes - table[index].sequenceBytes
        let length = min(left, parameters.maximumSendBytes, sequenceLeft)
        let endsItem = length == left
        let endsCommand = endsItem && item.endsCommand
        var pdu = item.pdu
        pdu.header = BasicHeaderSegment(opcode: .scsiDataIn)
        pdu.payloadOffset = item.progress
        pdu.payloadLength = length
        pdu.releasesPayload = endsItem
        pdu.header.dataSegmentLength = length
        pdu.header.initiatorTaskTag = table[index].initiatorTaskTag
        pdu.header[.targetTransferTag] = .reserved
        pdu.header[.dataSN] = table[index].dataInSN
        pdu.header[.bufferOffset] = UInt32(table[index].sentBytes)
        table[index].dataInSN &+= 1
        table[index].sentBytes += length
        table[index].sequenceBytes += length
        if endsCommand || length == sequenceLeft {
            pdu.header[.final] = true
            table[index].sequenceBytes = 0
        }
        if endsItem { output.removeFirst() } else { output.first.progress += length }
        if endsCommand {
            pdu.header[.hasStatus] = true
            setResidual(&pdu.header, index)
            free(index)
            pdu.header.setSequence(sequence)
            statSN += 1
        } else {
            // StatSN is reserved without the S bit (section 11.7.4).
            pdu.header.setSequence(TargetSequence(statSN: SerialNumber(0), expCmdSN: expCmdSN, maxCmdSN: maxCmdSN))
        }
        return pdu
    }

    private mutating func nextResponse() -> OutboundPDU {
        let item = output.first
        output.removeFirst()
        var pdu = item.pdu
        pdu.header[.final] = true
        pdu.header.initiatorTaskTag = table[item.task].initiatorTaskTag
        pdu.header[.expDataSN] = table[item.task].dataInSN
        setResidual(&pdu.header, item.task)
        free(item.task)
        pdu.header.setSequence(sequence)
        statSN += 1
        return pdu
    }

    /// Residual count and its flags (RFC 7143 section 11.4.5): the command's length by its CDB against what the initiator
    /// expected, and against what was really moved when the command failed on the way.
    @inline(__always)
    private func setResidual(_ header: inout BasicHeaderSegment, _ index: TaskIndex) {
        let task = table[index]
        if task.commandBytes > task.expectedBytes {
            header[.residualOverflow] = true
            header[.residualCount] = UInt32(truncatingIfNeeded: task.commandBytes - task.expectedBytes)
            return
        }
        let moved = task.announcesDataOut ? min(task.receivedBytes, task.wantedBytes) : task.sentBytes
        if moved < task.expectedBytes {
            header[.residualUnderflow] = true
            header[.residualCount] = UInt32(truncatingIfNeeded: task.expectedBytes - moved)
        }
    }

    /// Throws away everything queued (the connection is gone); buffers go to `release`.
    public mutating func discardOutput(release: (PayloadReference) -> Void) {
        output.removeAll(release: release)
        held.removeAll()
    }
}

extension RawSpan {
    /// One byte; the caller has checked the index against `byteCount`.
    @inline(__always)
    fileprivate func unsafeLoadByte(_ index: Int) -> UInt8 { unsafe unsafeLoad(fromByteOffset: index, as: UInt8.self) }
}
