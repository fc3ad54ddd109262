import Glibc
import Testing

/// Broken and malicious PDUs. In each test a session that behaves goes on beside them, and the daemon neither ends nor
/// grows.
extension StoragedTests {
    @Suite(.serialized) final class HostilePDUTests {
        let scene = Scene()
        let export: Export
        let good: RawSession
        let residentBefore: Int

        init() throws {
            export = try scene.exporting()
            good = try export.session()
            good.settle()
            good.works()
            residentBefore = export.process.residentBytes
        }

        deinit {
            // What every test here ends with.
            #expect(!export.process.hasEnded, "storaged ended: \(export.process.errors.suffix(2000))")
            good.works(seed: 2)
            let grown = export.process.residentBytes - residentBefore
            #expect(grown < 64 << 20, "storaged grew by \(grown >> 20) MiB")
        }

        private func connect() throws -> RawConnection { try RawConnection(port: export.port) }

        private func login(_ change: (inout RawLogin) -> Void = { _ in }) -> RawLogin {
            var login = RawLogin(isid: [0x80, 0x99, 0x99, 0x99, 0, 9])
            login.keys = [
                "InitiatorName=iqn.2026-01.net.example:bad", "TargetName=\(export.targetName)", "SessionType=Normal",
            ]
            change(&login)
            return login
        }

        /// Whether a login is refused by a status that is not success, or by the end of the connection.
        private func isRefused(_ login: RawLogin, sourceLocation: SourceLocation = #_sourceLocation) throws {
            let connection = try connect()
            connection.send(login.pdu)
            while let answer = connection.receive() {
                if answer.opcode == 0x23 && answer[36, 2] == 0 {
                    // Success without the transit that was asked for is a step of a login that goes on, not its end.
                    #expect(
                        answer.header[1] & 0x83 != 0x83, "the login succeeded", sourceLocation: sourceLocation)
                    return
                }
                if answer.opcode == 0x23 {
                    #expect(answer.header[36] == 2, "status class \(answer.header[36])", sourceLocation: sourceLocation)
                }
            }
        }

        @Test func aLoginCutOffAtEveryByte() throws {
            let bytes = login().pdu.bytes()
            for length in 0..<bytes.count {
                let connection = try connect()
                connection.send(Array(bytes[..<length]))
                connection.disconnect()
            }
        }

        @Test func aCommandCutOffAtEveryByte() throws {
            for length in stride(from: 1, to: 48 + 512, by: 7) {
                let session = try export.session("cut")
                let pdu = session.command(
                    RawSession.cdb(0x2a, 0, 1), writes: 512, immediate: [UInt8](repeating: 1, count: 512))
                session.connection.send(Array(pdu.bytes()[..<length]))
                session.connection.disconnect()
            }
        }

        @Test func garbageInsteadOfALogin() throws {
            for seed in 1...200 as ClosedRange<UInt64> {
                var numbers = SeededNumbers(seed: seed)
                let connection = try connect()
                connection.send(
                    (0..<Int.random(in: 1...4096, using: &numbers)).map { _ in
                        UInt8.random(in: 0...255, using: &numbers)
                    })
                if seed % 10 == 0 { good.works(seed: seed) }
            }
        }

        @Test func garbageAfterALogin() throws {
            for seed in 1...100 as ClosedRange<UInt64> {
                var numbers = SeededNumbers(seed: seed)
                let session = try export.session("garbage")
                session.connection.send((0..<2048).map { _ in UInt8.random(in: 0...255, using: &numbers) })
            }
        }

        @Test func headersWithOneFieldSpoiled() throws {
            // Mostly right is worse than all wrong: it gets further in.
            for seed in 1...300 as ClosedRange<UInt64> {
                var numbers = SeededNumbers(seed: seed)
                let session = try export.session("spoiled")
                // LUN 0 holds the good session's data: the spoiled ones only read.
                var pdu = session.command(RawSession.cdb(0x28, 0, 1), reads: 512)
                let place = Int.random(in: 0..<48, using: &numbers)
                pdu.header[place] = UInt8.random(in: 0...255, using: &numbers)
                if pdu.opcode == 0x01
                    && [0x2a, 0x8a, 0xaa, 0x0a, 0x41, 0x93, 0x42, 0x2e, 0x8e, 0x89, 0x04].contains(pdu.header[32])
                {
                    continue
                }
                session.connection.send(pdu.header)
                session.connection.disconnect()
            }
        }

        @Test(arguments: Array(0 as UInt8..<64)) func everyOpcodeEmptyBeforeLogin(_ opcode: UInt8) throws {
            let connection = try connect()
            connection.send([opcode] + [UInt8](repeating: 0, count: 47))
            // An empty login request is answered with an error; anything else has no business here.
            #expect(connection.closes(withinSeconds: 15), "opcode \(opcode) is still connected")
        }

        @Test func everyOpcodeEmptyAfterLogin() throws {
            for opcode in 0..<128 as Range<UInt8> {
                let session = try export.session("opcode")
                session.connection.send([opcode] + [UInt8](repeating: 0, count: 47))
            }
        }

        @Test func anUnknownOpcodeIsRejectedWithItsHeader() throws {
            let session = try export.session("opcode")
            session.settle()
            var pdu = RawPDU(opcode: 0x0f)
            pdu[16, 4] = 77
            pdu[24, 4] = UInt64(session.commandNumber)
            session.connection.send(pdu)
            let answer = try #require(session.connection.receive())
            #expect(answer.opcode == 0x3f)
            // Command not supported, or protocol error (RFC 7143, 11.17.1).
            #expect([0x05, 0x04].contains(answer.header[2]))
            #expect(Array(answer.data.prefix(48)) == pdu.header)
        }

        @Test func targetsOpcodesAreNotTaken() throws {
            for opcode in [0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3f] as [UInt8] {
                let session = try export.session("mirror")
                session.connection.send(RawPDU(opcode: opcode))
                let answer = session.connection.receive()
                #expect(answer == nil || answer?.opcode == 0x3f, "opcode \(opcode)")
            }
        }

        @Test func aDataSegmentLongerThanDeclared() throws {
            // Before login no key has allowed more than 8192 bytes.
            for length in [8196, 65536, 0xff_ffff] {
                let connection = try connect()
                connection.send(login().pdu.bytes(dataLength: length))
                connection.send([UInt8](repeating: 0x41, count: 16384))
                #expect(connection.closes(withinSeconds: 15), "\(length) bytes")
            }
            let session = try export.session("long")
            var pdu = session.command(RawSession.cdb(0x2a, 0, 1), writes: 512)
            pdu.data = []
            session.connection.send(pdu.bytes(dataLength: 0xff_ffff))
            // The bytes never come: whatever storaged does, it must not have set 16 MiB aside for each such header.
            for _ in 0..<8 {
                let more = try export.session("long")
                more.connection.send(more.command(RawSession.cdb(0x2a, 0, 1), writes: 512).bytes(dataLength: 0xff_ffff))
            }
            good.works(seed: 5)
        }

        @Test func immediateDataBeyondTheTransferLength() throws {
            let session = try export.session("beyond")
            session.settle()
            // EDTL of 512, but 4096 bytes come.
            let pdu = session.command(
                RawSession.cdb(0x2a, 100, 1), writes: 512, immediate: [UInt8](repeating: 0x66, count: 4096))
            session.connection.send(pdu)
            _ = session.connection.receive()
            // Block 101 must not have been written over.
            #expect(good.read(lba: 101, blocks: 7)?.data.contains(0x66) == false)
        }

        @Test func halfABlockIsRefusedAndNotWritten() throws {
            let session = try export.session("half")
            session.settle()
            let before = [UInt8](repeating: 0x11, count: 512)
            #expect(session.write(lba: 6000, before)?.status == 0)
            // WRITE(10), WRITE SAME(10) and WRITE SAME(16) with UNMAP, each of one block with 256 bytes of data.
            let commands: [[UInt8]] = [
                RawSession.cdb(0x2a, 6000, 1), RawSession.cdb(0x41, 6000, 1),
                [0x93, 0x08, 0, 0, 0, 0, 0, 0, 0x17, 0x70, 0, 0, 0, 1, 0, 0],
            ]
            for cdb in commands {
                let result = try #require(session.execute(cdb, writing: [UInt8](repeating: 0x22, count: 256)))
                #expect(result.status == 2 && result.senseKey == 5, "\(cdb)")
                #expect(session.read(lba: 6000, blocks: 1)?.data == before, "\(cdb)")
            }
        }

        @Test func additionalHeaderSegmentsOfAllSorts() throws {
            let bodies: [[UInt8]] = [
                [0, 0, 0, 0],  // length 0, type 0
                [0xff, 0xff, 1, 0],  // an extended CDB longer than what is there
                [0, 5, 1, 0, 1, 2, 3, 4],  // a short extended CDB
                [0, 5, 2, 0, 0, 0, 2, 0],  // a bidirectional read length
                [0, 1, 0x3f, 0],  // an unknown type
                [UInt8](repeating: 0xff, count: 1020),
                [UInt8](repeating: 0, count: 1020),
            ]
            for body in bodies {
                let session = try export.session("additional")
                session.settle()
                var pdu = session.command(RawSession.cdb(0x28, 0, 1), reads: 512)
                pdu.additional = body
                session.connection.send(pdu)
                let connection = try connect()
                var opening = login().pdu
                opening.additional = body
                connection.send(opening)
            }
            // Announced but never sent.
            let connection = try connect()
            connection.send(login().pdu.bytes(additionalWords: 255))
        }

        @Test func aWrongHeaderDigestEndsTheConnection() throws {
            let session = try RawSession(
                port: export.port, targetName: export.targetName, initiatorName: "iqn.2026-01.net.example:digest",
                digests: Digests(header: true, data: true))
            session.settle()
            session.works(seed: 3)
            session.connection.digests.spoilHeader = true
            session.connection.send(session.command(RawSession.cdb(0x28, 0, 1), reads: 512))
            #expect(session.connection.closes(withinSeconds: 15))
        }

        @Test func aWrongDataDigestWritesNothing() throws {
            let session = try RawSession(
                port: export.port, targetName: export.targetName, initiatorName: "iqn.2026-01.net.example:digest",
                digests: Digests(header: true, data: true))
            session.settle()
            session.connection.digests.spoilData = true
            let spoiled = session.command(
                RawSession.cdb(0x2a, 5000, 1), writes: 512, immediate: [UInt8](repeating: 0x77, count: 512))
            session.connection.send(spoiled)
            // A Reject for a payload digest error (RFC 7143, 7.8), or the end of the connection.
            if let answer = session.connection.receive() {
                #expect(answer.opcode == 0x3f && answer.header[2] == 0x02)
            }
            #expect(good.read(lba: 5000, blocks: 1)?.data.contains(0x77) == false)
        }

        @Test func stagesThatDoNotExistOrGoBackwards() throws {
            for (current, next) in [(2, 3), (3, 3), (1, 2), (1, 0), (0, 0), (1, 1), (3, 1), (2, 2)] as [(UInt8, UInt8)]
            {
                try isRefused(
                    login {
                        $0.currentStage = current; $0.nextStage = next
                    })
            }
        }

        @Test func aLoginThatJumpsBetweenConnections() throws {
            let connection = try connect()
            connection.send(
                login {
                    $0.transit = false; $0.nextStage = 0
                }.pdu)
            _ = connection.receive()
            // The second request of one login names another ISID, and another task tag.
            connection.send(
                login {
                    $0.isid = [0x80, 1, 2, 3, 0, 1]; $0.tag = 99
                }.pdu)
            #expect(connection.closes(withinSeconds: 15))
        }

        @Test func aSecondLoginInsideASession() throws {
            let session = try export.session("twice")
            session.settle()
            session.connection.send(login().pdu)
            let answer = session.connection.receive()
            #expect(answer == nil || answer?.opcode == 0x3f || answer?.header[36] != 0)
        }

        @Test func commandsBeforeLogin() throws {
            for opcode in [0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x10] as [UInt8] {
                let connection = try connect()
                var pdu = RawPDU(opcode: opcode)
                pdu.header[32] = 0x12
                connection.send(pdu)
                #expect(connection.closes(withinSeconds: 15), "opcode \(opcode)")
            }
        }

        @Test func aLoginWithATargetThatIsNotThere() throws {
            let connection = try connect()
            connection.send(login { $0.keys[1] = "TargetName=iqn.2026-01.net.example:nothing" }.pdu)
            let answer = try #require(connection.receive())
            #expect(answer[36, 2] == 0x0203)
        }

        @Test func aLoginWithoutNames() throws {
            try isRefused(login { $0.keys = [] })
            try isRefused(login { $0.keys.remove(at: 0) })
            try isRefused(login { $0.keys.remove(at: 1) })
        }

        @Test func aLoginToASessionThatIsNotThere() throws {
            let connection = try connect()
            connection.send(login { $0.tsih = 0x7777 }.pdu)
            let answer = try #require(connection.receive())
            // Session does not exist (RFC 7143, 11.13.5).
            #expect(answer[36, 2] == 0x020a)
        }

        @Test func repeatedKeys() throws {
            try isRefused(login { $0.keys += ["MaxBurstLength=1024", "MaxBurstLength=2048"] })
            try isRefused(login { $0.keys.append("InitiatorName=iqn.2026-01.net.example:other") })
        }

        @Test func unknownKeysAreAnsweredNotUnderstood() throws {
            let connection = try connect()
            connection.send(login { $0.keys.append("X-net.example.colour=blue") }.pdu)
            let answer = try #require(connection.receive())
            #expect(String(decoding: answer.data, as: UTF8.self).contains("X-net.example.colour=NotUnderstood"))
            #expect(answer[36, 2] == 0)
        }

        @Test func keysThatAreNoKeys() throws {
            for keys in [
                ["="], ["=value"], ["NoSeparator"], [String(repeating: "K", count: 200) + "=1"],
                ["MaxBurstLength="], ["MaxBurstLength=-1"], ["MaxBurstLength=99999999999999999999"],
                ["MaxBurstLength=0x"], ["HeaderDigest=,,,"], ["InitialR2T=Maybe"], ["\u{1}\u{2}\u{3}=\u{7f}"],
                ["MaxConnections=0"], ["FirstBurstLength=1"], ["MaxRecvDataSegmentLength=511"],
                ["InitiatorName="], ["DefaultTime2Wait=3601"], ["ErrorRecoveryLevel=3"],
            ] {
                let connection = try connect()
                connection.send(login { $0.keys += keys }.pdu)
                // Refused, answered with Reject, or negotiated to something legal: all allowed, as long as it is an answer.
                let answer = connection.receive()
                #expect(answer == nil || answer?.opcode == 0x23 || answer?.opcode == 0x3f, "\(keys)")
            }
        }

        @Test func oversizedValues() throws {
            try isRefused(
                login { $0.keys[0] = "InitiatorName=iqn.2026-01.net.example:" + String(repeating: "x", count: 230) })
            try isRefused(login { $0.keys[0] = "InitiatorName=iqn." + String(repeating: "x", count: 7000) })
            try isRefused(login { $0.keys[1] = "TargetName=" + String(repeating: "y", count: 7000) })
        }

        @Test func aThousandUnknownKeys() throws {
            let connection = try connect()
            connection.send(login { $0.keys += (0..<700).map { "X-a.b.k\($0)=1" } }.pdu)
            _ = connection.receive()
        }

        @Test func aLoginThatNeverEnds() throws {
            let connection = try connect()
            // C bit set for ever: text that goes on in the next PDU. 8 KiB each, 64 MiB if nobody stops it.
            var sent = 0
            for number in 0..<8192 {
                let part = login {
                    $0.transit = false
                    $0.continues = true
                    $0.nextStage = 0
                    $0.keys = number == 0 ? $0.keys : [String(repeating: "Z", count: 8000)]
                }
                guard connection.send(part.pdu), let answer = connection.receive(), answer[36, 2] == 0 else { break }
                sent += 1
            }
            #expect(sent < 1000, "\(sent) parts were taken")
        }

        @Test func aLoginThatNeverMovesOn() throws {
            let connection = try connect()
            var taken = 0
            let start = now()
            while now() - start < 15 {
                guard
                    connection.send(
                        login {
                            $0.transit = false; $0.nextStage = 0
                        }.pdu), let answer = connection.receive(),
                    answer[36, 2] == 0
                else { break }
                taken += 1
                usleep(1000)
            }
            #expect(now() - start < 14, "\(taken) requests in \(now() - start) s and still not at an end")
        }

        @Test func commandNumbersOutsideTheWindow() throws {
            let session = try export.session("window")
            session.settle()
            for offset in [1 << 20, 0x8000_0000, 0xffff_ff00] as [UInt32] {
                var pdu = session.command(RawSession.cdb(0x28, 0, 1), reads: 512)
                pdu[24, 4] = UInt64(session.commandNumber &+ offset)
                session.connection.send(pdu)
            }
            // Those are dropped silently (RFC 7143, 4.2.2.1); the numbers that they took here are given back.
            let ping = pingOf(session, number: session.commandNumber &- 3)
            session.connection.send(ping)
            let answer = try #require(session.connection.receive())
            #expect(answer.opcode == 0x20)
        }

        @Test func aCommandThatComesTwice() throws {
            let session = try export.session("twice")
            session.settle()
            let pdu = session.command(RawSession.cdb(0x28, 0, 1), reads: 512)
            session.connection.send(pdu)
            #expect(session.result(of: UInt32(pdu[16, 4]))?.status == 0)
            session.connection.send(pdu)
            // Not answered again: the next answer is that of the next command.
            session.works(seed: 9)
        }

        @Test func dataForTransfersThatWereNotAskedFor() throws {
            let session = try export.session("dataout")
            session.settle()
            for (task, transfer) in [(0x1234, 0x5678), (0xffff_ffff, 0xffff_ffff), (0x1234, 0xffff_ffff)]
                as [(UInt64, UInt64)]
            {
                var pdu = RawPDU(opcode: 0x05)
                pdu[16, 4] = task
                pdu[20, 4] = transfer
                pdu[40, 4] = 0xffff_fe00
                pdu.data = [UInt8](repeating: 0x55, count: 512)
                session.connection.send(pdu)
            }
        }

        @Test func dataOutBeyondWhatWasAskedFor() throws {
            let session = try export.session("overrun")
            session.settle()
            // 256 KiB: the first 64 KiB may come unasked, the rest by R2T.
            let pdu = session.command(RawSession.cdb(0x2a, 8192, 512), writes: 512 * 512)
            session.connection.send(pdu)
            var answer = session.connection.receive()
            while answer != nil && answer?.opcode != 0x31 { answer = session.connection.receive() }
            let ready = try #require(answer)
            for offset in [0xffff_0000, 262_144, 0x7fff_ffff] as [UInt64] {
                var data = RawPDU(opcode: 0x05, flags: 0)
                data.header.replaceSubrange(8..<16, with: pdu.header[8..<16])
                data[16, 4] = pdu[16, 4]
                data[20, 4] = ready[20, 4]
                data[40, 4] = offset
                data.data = [UInt8](repeating: 0x44, count: 4096)
                session.connection.send(data)
            }
            #expect(good.read(lba: 8192 + 512, blocks: 8)?.data.contains(0x44) == false)
        }

        @Test func managementOfTasksThatAreNotThere() throws {
            let session = try export.session("tmf")
            session.settle()
            for function in 0..<128 as Range<UInt8> {
                // CLEAR TASK SET and the resets disturb the good session by right (a unit attention tells it).
                if (4...7).contains(function) { continue }
                var pdu = RawPDU(opcode: 0x42, flags: 0x80 | function)
                pdu[16, 4] = UInt64(9000 + Int(function))
                pdu[20, 4] = 0xdead_beef
                pdu[24, 4] = UInt64(session.commandNumber)
                session.connection.send(pdu)
                let answer = session.connection.receive()
                #expect(answer == nil || [0x22, 0x3f].contains(answer!.opcode), "function \(function)")
                if answer == nil { return }
            }
        }

        @Test func logicalUnitsThatAreNotThere() throws {
            let session = try export.session("lun")
            session.settle()
            for lun in [0x0001, 0x4001, 0x00ff, 0xffff] as [UInt64] {
                var pdu = session.command([0x12, 0, 0, 0, 96, 0], reads: 96)
                pdu[8, 2] = lun
                session.connection.send(pdu)
                let inquiry = try #require(session.result(of: UInt32(pdu[16, 4])))
                // No device at this LUN (SPC-4, 6.4.2), or an error.
                #expect(inquiry.status != 0 || inquiry.data.first == 0x7f)
                pdu = session.command(RawSession.cdb(0x28, 0, 1), reads: 512)
                pdu[8, 2] = lun
                session.connection.send(pdu)
                let read = try #require(session.result(of: UInt32(pdu[16, 4])))
                #expect(read.status == 2 && read.senseKey == 5 && read.additionalSense == 0x2500)
            }
        }

        @Test func everyOperationCodeOfEveryLength() throws {
            // No operation code may read or write beyond the unit, allocate without bound or end the daemon.
            for seed in 1...8 as ClosedRange<UInt64> {
                var numbers = SeededNumbers(seed: seed)
                let session = try export.session("fuzz")
                session.settle()
                for operation in 0..<256 {
                    // FORMAT UNIT, WRITE SAME, UNMAP and the writes would spoil the good session's blocks.
                    if [
                        0x04, 0x0a, 0x2a, 0xaa, 0x8a, 0x41, 0x93, 0x42, 0x2e, 0xae, 0x8e, 0x89, 0x15, 0x55, 0x7f, 0x53,
                        0x51,
                    ].contains(operation) {
                        continue
                    }
                    let cdb = [UInt8(operation)] + (0..<15).map { _ in UInt8.random(in: 0...255, using: &numbers) }
                    let pdu = session.command(cdb, reads: Int.random(in: 0...70000, using: &numbers) & ~3)
                    session.connection.send(pdu)
                    guard let result = session.result(of: UInt32(pdu[16, 4])) else {
                        Issue.record("operation \(operation), seed \(seed): the connection ended")
                        return
                    }
                    #expect([0, 2, 8, 0x18, 0x28].contains(result.status), "operation \(operation), seed \(seed)")
                }
            }
        }

        @Test func textRequestsOfAllSorts() throws {
            for text in [
                "SendTargets=All\0", "SendTargets=\0", "SendTargets=nonsense\0", "\0\0\0", "A",
                String(repeating: "=", count: 4000),
            ] {
                let session = try export.session("text")
                session.settle()
                var pdu = RawPDU(opcode: 0x44)
                pdu[16, 4] = 500
                pdu[20, 4] = 0xffff_ffff
                pdu[24, 4] = UInt64(session.commandNumber)
                pdu.data = Array(text.utf8)
                session.connection.send(pdu)
                let answer = session.connection.receive()
                #expect(answer == nil || [0x24, 0x3f].contains(answer!.opcode), "\(text.prefix(20))")
            }
        }

        @Test func loginAndLogoutStorm() throws {
            for number in 0..<300 {
                let session = try export.session("storm\(number % 3)")
                if number % 2 == 0 {
                    session.connection.send(session.command(RawSession.cdb(0x28, 0, 64), reads: 32768))
                }
                if number % 3 == 0 {
                    var logout = RawPDU(opcode: 0x46)
                    logout[16, 4] = 900
                    logout[24, 4] = UInt64(session.commandNumber)
                    session.connection.send(logout)
                }
                session.connection.disconnect()
            }
            #expect(eventually(seconds: 10) { export.process.descriptorCount < 60 })
        }

        @Test func reinstatementStorm() throws {
            // One name and ISID again and again: each login ends the session before it.
            var last: RawSession?
            for _ in 0..<200 {
                let next = try export.session("again")
                next.connection.send(next.command(RawSession.cdb(0x28, 0, 64), reads: 32768))
                last = next
            }
            withExtendedLifetime(last) {}
            let session = try export.session("again")
            session.settle()
            session.works(seed: 77)
        }

        private func pingOf(_ session: RawSession, number: UInt32) -> RawPDU {
            var ping = RawPDU(opcode: 0x40)
            ping[16, 4] = 4242
            ping[20, 4] = 0xffff_ffff
            ping[24, 4] = UInt64(number)
            ping.data = Array("ping".utf8)
            return ping
        }
    }
}
