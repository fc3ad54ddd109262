import ISCSI
import Testing

@Suite("Full feature phase: Data-Out")
struct DataOutTests {
    /// 4 KiB segments, 8 KiB bursts, everything unsolicited allowed.
    private static func loose(_ parameters: inout TransferParameters) {
        parameters.maximumReceiveBytes = 4096
        parameters.maximumBurstBytes = 8192
        parameters.firstBurstBytes = 8192
        parameters.initialR2T = false
    }

    // MARK: Immediate data

    @Test("immediate data alone completes a command")
    func immediate() throws {
        let harness = Harness()
        let header = harness.command(1, writes: 512, data: 512)
        let index = try harness.admit(header, wants: 512)
        #expect(harness.keptBytes(index, offset: 0, lengthBytes: 512) == 512)
        #expect(harness.arrive(index, header) == .complete)
        harness.respond(index)
        let response = try #require(harness.next())
        #expect(SCSIResponse(header: response.header).residual == .none)
    }

    @Test("immediate data that may not be there")
    func immediateRefused() {
        let forbidden = Harness { $0.immediateData = false }
        #expect(
            forbidden.receive(forbidden.command(1, writes: 512, data: 512)).violation == .immediateDataNotNegotiated)

        let harness = Harness { $0.firstBurstBytes = 1024 }
        #expect(harness.receive(harness.command(1, writes: 4096, data: 1025)).violation == .immediateDataTooLong)
        let short = Harness()
        #expect(short.receive(short.command(1, writes: 512, data: 513)).violation == .immediateDataTooLong)
        let reading = Harness()
        #expect(reading.receive(reading.command(1, reads: 512, data: 512)).violation == .immediateDataTooLong)
        let long = Harness { $0.maximumReceiveBytes = 512 }
        #expect(long.receive(long.command(1, writes: 4096, data: 513)).violation == .dataSegmentTooLong)
    }

    @Test("the rest beyond immediate data comes by R2T, from where that ended")
    func immediateAndR2T() throws {
        let harness = Harness { $0.maximumBurstBytes = 2048 }
        let header = harness.command(1, writes: 4096, data: 1000)
        let index = try harness.admit(header, wants: 4096)
        #expect(harness.arrive(index, header) == .burst)
        #expect(harness.solicit(index, upToBytes: 1 << 20) == 2048)
        let r2t = R2T(header: try #require(harness.next()).header)
        #expect(r2t.bufferOffset == 1000 && r2t.desiredDataTransferLength == 2048 && r2t.r2tSN == 0)
        #expect(!r2t.targetTransferTag.isReserved)
    }

    // MARK: Unsolicited data

    @Test("unsolicited data may not be announced with InitialR2T=Yes, nor without a write")
    func unsolicitedRefused() {
        let harness = Harness()
        #expect(
            harness.receive(harness.command(1, writes: 512, final: false)).violation == .unsolicitedDataNotNegotiated)
        let reading = Harness(Self.loose)
        #expect(
            reading.receive(reading.command(1, reads: 512, final: false)).violation == .unsolicitedDataNotNegotiated)
    }

    @Test("unsolicited data with F in its last PDU, short of the first burst, is a burst")
    func unsolicitedShort() throws {
        let harness = Harness(Self.loose)
        let header = harness.command(1, writes: 16384, data: 1000, final: false)
        let index = try harness.admit(header, wants: 16384)
        #expect(harness.task(index).hasUnsolicitedData)
        #expect(harness.arrive(index, header) == .partial)
        #expect(try harness.deliver(harness.dataOut(1, offset: 1000, length: 4096, final: false)) == .partial)
        #expect(try harness.deliver(harness.dataOut(1, offset: 5096, length: 904, dataSN: 1, final: true)) == .burst)
        #expect(harness.solicit(index, upToBytes: 4000) == 4000)
        #expect(harness.next()?.header[.bufferOffset] == 6000)
    }

    @Test("unsolicited data that fills the first burst ends it, with F or without", arguments: [false, true])
    func unsolicitedFull(final: Bool) throws {
        let harness = Harness(Self.loose)
        let header = harness.command(1, writes: 16384, final: false)
        let index = try harness.admit(header, wants: 16384)
        #expect(harness.arrive(index, header) == .partial)
        #expect(try harness.deliver(harness.dataOut(1, offset: 0, length: 4096, final: false)) == .partial)
        #expect(try harness.deliver(harness.dataOut(1, offset: 4096, length: 4096, dataSN: 1, final: final)) == .burst)
    }

    @Test("an empty Data-Out with F ends unsolicited data")
    func unsolicitedEmpty() throws {
        let harness = Harness(Self.loose)
        _ = try harness.admit(harness.command(1, writes: 8192, final: false), wants: 8192)
        #expect(try harness.deliver(harness.dataOut(1, offset: 0, length: 0, final: true)) == .burst)
    }

    @Test("unsolicited data out of place, out of order or too long ends the connection")
    func unsolicitedBroken() throws {
        let broken: [(Int, Int, UInt32, ProtocolViolation)] = [
            (512, 512, 0, .dataOutOutOfOrder), (512, 512, 1, .dataOutOutOfOrder), (0, 4097, 0, .dataSegmentTooLong),
        ]
        for (offset, length, dataSN, violation) in broken {
            let harness = Harness(Self.loose)
            _ = try harness.admit(harness.command(1, writes: 16384, final: false), wants: 16384)
            let header = harness.dataOut(1, offset: offset, length: length, dataSN: dataSN, final: false)
            #expect(harness.receive(header).violation == violation)
        }
        let harness = Harness(Self.loose)
        _ = try harness.admit(harness.command(1, writes: 5000, final: false), wants: 5000)
        #expect(try harness.deliver(harness.dataOut(1, offset: 0, length: 4096, final: false)) == .partial)
        let beyond = harness.dataOut(1, offset: 4096, length: 905, dataSN: 1, final: true)
        #expect(harness.receive(beyond).violation == .unsolicitedDataTooLong)
    }

    @Test("unsolicited data that nobody announced ends the connection; of an unknown tag it is ignored")
    func unsolicitedUnannounced() throws {
        let harness = Harness(Self.loose)
        _ = try harness.admit(harness.command(1, writes: 512), wants: 512)
        let header = harness.dataOut(1, offset: 0, length: 512, final: true)
        #expect(harness.receive(header).violation == .unsolicitedDataNotNegotiated)
        #expect(harness.receive(harness.dataOut(2, offset: 0, length: 512, final: true)).isIgnored)
    }

    // MARK: R2T

    @Test("a write by R2T is cut into bursts of MaxBurstLength, each with a DataSN of its own")
    func bursts() throws {
        let harness = Harness { parameters in
            parameters.maximumBurstBytes = 8192
            parameters.maximumReceiveBytes = 4096
        }
        let index = try harness.admit(harness.command(1, writes: 20000), wants: 20000)
        var offset = 0
        for (number, length) in [8192, 8192, 3616].enumerated() {
            #expect(harness.solicit(index, upToBytes: 1 << 20) == length)
            let r2t = R2T(header: try #require(harness.next()).header)
            #expect(r2t.r2tSN == UInt32(number) && r2t.bufferOffset == UInt32(offset))
            #expect(r2t.desiredDataTransferLength == UInt32(length))
            var sent = 0
            var dataSN: UInt32 = 0
            var arrival = FullFeatureConnection.Arrival.partial
            while sent < length {
                let count = min(4096, length - sent)
                arrival = try harness.deliver(
                    harness.dataOut(
                        1, offset: offset + sent, length: count, dataSN: dataSN, final: sent + count == length,
                        transferTag: r2t.targetTransferTag))
                sent += count
                dataSN += 1
                if sent < length { #expect(arrival == .partial) }
            }
            offset += length
            #expect(arrival == (offset == 20000 ? .complete : .burst))
        }
        #expect(harness.task(index).state == .executing)
    }

    @Test("solicited data out of place, out of order, too long or ended early ends the connection")
    func solicitedBroken() throws {
        let broken: [(Int, Int, UInt32, Bool, ProtocolViolation)] = [
            (512, 512, 0, false, .dataOutOutOfOrder), (0, 2049, 3, true, .dataOutTooLong),
            (0, 2049, 0, true, .dataOutTooLong), (0, 1024, 0, true, .dataOutShort),
        ]
        for (offset, length, dataSN, final, violation) in broken {
            let harness = Harness { $0.maximumBurstBytes = 2048 }
            let index = try harness.admit(harness.command(1, writes: 8192), wants: 8192)
            _ = harness.solicit(index, upToBytes: 1 << 20)
            let r2t = R2T(header: try #require(harness.next()).header)
            let header = harness.dataOut(
                1, offset: offset, length: length, dataSN: dataSN, final: final, transferTag: r2t.targetTransferTag)
            #expect(harness.receive(header).violation == violation)
        }
    }

    @Test("Data-Out under a transfer tag of another task or of an earlier use of the place is ignored")
    func staleTransferTag() throws {
        let harness = Harness(window: 1)
        let first = try harness.admit(harness.command(1, writes: 512), wants: 512)
        _ = harness.solicit(first, upToBytes: 512)
        let old = R2T(header: try #require(harness.next()).header).targetTransferTag
        #expect(harness.abort(first))
        let second = try harness.admit(harness.command(1, writes: 512), wants: 512)
        _ = harness.solicit(second, upToBytes: 512)
        let new = R2T(header: try #require(harness.next()).header).targetTransferTag
        #expect(old != new)
        #expect(harness.receive(harness.dataOut(1, offset: 0, length: 512, final: true, transferTag: old)).isIgnored)
        #expect(
            try harness.deliver(harness.dataOut(1, offset: 0, length: 512, final: true, transferTag: new)) == .complete)
    }

    @Test("what the device server does not want is taken and dropped, and counts as underflow")
    func unwanted() throws {
        let harness = Harness()
        let header = harness.command(1, writes: 4096, data: 4096)
        let index = try harness.admit(header, wants: 512)
        #expect(harness.keptBytes(index, offset: 0, lengthBytes: 4096) == 512)
        #expect(harness.keptBytes(index, offset: 600, lengthBytes: 100) == 0)
        #expect(harness.arrive(index, header) == .complete)
        harness.respond(index)
        #expect(SCSIResponse(header: try #require(harness.next()).header).residual == .underflow(3584))
    }

    @Test("a wrong data digest is rejected at once; the command ends once its sequence is over")
    func digestError() throws {
        let harness = Harness(Self.loose)
        let header = harness.command(1, writes: 8192, final: false)
        let index = try harness.admit(header, wants: 8192)
        let bad = harness.dataOut(1, offset: 0, length: 4096, final: false)
        #expect(try harness.deliver(bad, digestFailed: true) == .partial)
        let reject = try #require(harness.next())
        #expect(Reject(header: reject.header).reason == .dataDigestError && reject.inlineBytes == bad.bytes)
        // Nothing further of it is kept, and its end is the end of the command.
        #expect(harness.keptBytes(index, offset: 4096, lengthBytes: 4096) == 0)
        #expect(
            try harness.deliver(harness.dataOut(1, offset: 4096, length: 4096, dataSN: 1, final: true)) == .complete)
        #expect(harness.task(index).dataDigestFailed)
    }

    @Test(
        "a DataSN out of order counts as a digest error of what is missing: nothing is kept, the command ends with it",
        arguments: [[1, 0], [0, 0], [27, 1], [UInt32.max, 0]])
    func dataSNOutOfOrder(numbers: [UInt32]) throws {
        let solicited = Harness { $0.maximumBurstBytes = 8192 }
        let index = try solicited.admit(solicited.command(1, writes: 8192), wants: 8192)
        _ = solicited.solicit(index, upToBytes: 8192)
        let r2t = R2T(header: try #require(solicited.next()).header)
        #expect(
            try solicited.deliver(
                solicited.dataOut(
                    1, offset: 0, length: 4096, dataSN: numbers[0], final: false, transferTag: r2t.targetTransferTag))
                == .partial)
        #expect(
            try solicited.deliver(
                solicited.dataOut(
                    1, offset: 4096, length: 4096, dataSN: numbers[1], final: true, transferTag: r2t.targetTransferTag))
                == .complete)
        #expect(solicited.task(index).dataDigestFailed && !solicited.hasOutput)

        let harness = Harness(Self.loose)
        let unsolicited = try harness.admit(harness.command(1, writes: 8192, final: false), wants: 8192)
        let first = harness.dataOut(1, offset: 0, length: 4096, dataSN: numbers[0], final: false)
        #expect(try harness.deliver(first) == .partial)
        let second = harness.dataOut(1, offset: 4096, length: 4096, dataSN: numbers[1], final: true)
        #expect(try harness.deliver(second) == .complete)
        #expect(harness.task(unsolicited).dataDigestFailed)
        #expect(harness.keptBytes(unsolicited, offset: 4096, lengthBytes: 4096) == 0)
    }

    // MARK: Draining

    @Test("a response waits for the end of unsolicited data")
    func drainUnsolicited() throws {
        let harness = Harness(Self.loose)
        let index = try #require(harness.receive(harness.command(1, writes: 8192, final: false)).task)
        harness.respond(index, status: 2, sense: [0x70, 0, 5])
        #expect(harness.task(index).state == .draining && !harness.hasOutput)
        #expect(harness.keptBytes(index, offset: 0, lengthBytes: 4096) == 0)
        #expect(try harness.deliver(harness.dataOut(1, offset: 0, length: 4096, final: false)) == .partial)
        #expect(!harness.hasOutput)
        #expect(try harness.deliver(harness.dataOut(1, offset: 4096, length: 100, dataSN: 1, final: true)) == .dropped)
        let response = try #require(harness.next())
        #expect(SCSIResponse(header: response.header).status == 2 && response.inlineBytes == [0, 3, 0x70, 0, 5])
        #expect(harness.tasksInFlight == 0)
    }

    @Test("a response waits for the data of an R2T that is out")
    func drainSolicited() throws {
        let harness = Harness()
        let index = try harness.admit(harness.command(1, writes: 8192), wants: 8192)
        _ = harness.solicit(index, upToBytes: 4096)
        let r2t = R2T(header: try #require(harness.next()).header)
        harness.respond(index, status: 2)
        #expect(!harness.hasOutput)
        let data = harness.dataOut(1, offset: 0, length: 4096, final: true, transferTag: r2t.targetTransferTag)
        #expect(try harness.deliver(data) == .dropped)
        #expect(harness.next()?.opcode == .scsiResponse)
    }

    @Test("a response to an admitted command waits for its immediate data")
    func drainImmediate() throws {
        let harness = Harness()
        let header = harness.command(1, writes: 512, data: 512)
        let index = try harness.admit(header, wants: 512)
        harness.respond(index, status: 2)
        #expect(!harness.hasOutput)
        #expect(harness.arrive(index, header) == .dropped)
        #expect(harness.next()?.opcode == .scsiResponse)
    }
}
