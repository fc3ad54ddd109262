import ISCSI
import TargetServer
import Testing

/// EXTENDED COPY over sockets.
@Suite struct CopyTests {
    private static func session(_ host: Host, volume: Int = 0, portal: Int = 0) throws -> TestSession {
        let session = try TestSession(
            port: host.configuration.portals[portal].port, target: host.configuration.targets[volume].name)
        session.settle()
        return session
    }

    private static func wwid(_ host: Host, _ volume: Int) -> UInt64 { host.configuration.targets[volume].wwid }

    private static func integer(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - $0))) }
    }

    /// One segment from the first named unit to the last.
    private static func copy(
        _ session: TestSession, _ units: [UInt64], from: UInt64, to: UInt64, blocks: UInt64
    ) -> Outcome? {
        let targets = units.flatMap { unit in
            [0xe4, 0, 0, 0, 1, 3, 0, 8] + integer(unit, 8) + [UInt8](repeating: 0, count: 13) + [0, 2, 0]
        }
        let segment: [UInt8] =
            [0x02, 0, 0, 0x18, 0, 0] + integer(UInt64(units.count - 1), 2) + [0, 0] + integer(blocks, 2)
            + integer(from, 8) + integer(to, 8)
        let list: [UInt8] =
            [1, 0] + integer(UInt64(targets.count), 2) + [0, 0, 0, 0] + integer(UInt64(segment.count), 4)
            + [0, 0, 0, 0] + targets + segment
        return session.execute(
            [0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0] + integer(UInt64(list.count), 4) + [0, 0], writing: list)
    }

    @Test func withinAUnit() throws {
        let host = try Host()
        let session = try Self.session(host)
        let data = pattern(1000 * 512)
        #expect(session.write(block: 0, data)?.isGood == true)
        #expect(Self.copy(session, [Self.wwid(host, 0)], from: 0, to: 50_000, blocks: 1000)?.isGood == true)
        #expect(session.read(block: 50_000, blocks: 1000)?.data == data)
        let status = session.execute([0x84, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0], reads: 32)
        #expect(status?.data == [0, 0, 0, 8, 1, 0, 1, 1, 0, 0, 0x01, 0xf4], "one segment, 500 KiB")
    }

    /// Either way, what is copied is what was there before.
    @Test(arguments: [(0, 100), (100, 0), (0, 1), (7, 0)] as [(UInt64, UInt64)])
    func overlappingRanges(_ from: UInt64, _ to: UInt64) throws {
        let host = try Host()
        let session = try Self.session(host)
        let data = pattern(20_000 * 512, seed: 3)
        for block in stride(from: 0, to: 20_000, by: 4000) {
            let part = Array(data[(block * 512)..<((block + 4000) * 512)])
            #expect(session.write(block: from + UInt64(block), part)?.isGood == true)
        }
        #expect(Self.copy(session, [Self.wwid(host, 0)], from: from, to: to, blocks: 20_000)?.isGood == true)
        var seen: [UInt8] = []
        for block in stride(from: 0, to: 20_000, by: 4000) {
            seen += session.read(block: to + UInt64(block), blocks: 4000)?.data ?? []
        }
        #expect(seen == data)
    }

    @Test func betweenUnits() throws {
        let host = try Host(volumes: 2)
        let (first, second) = (try Self.session(host), try Self.session(host, volume: 1))
        let data = pattern(500 * 512, seed: 8)
        #expect(first.write(block: 20, data)?.isGood == true)
        let units = [Self.wwid(host, 0), Self.wwid(host, 1)]
        #expect(Self.copy(first, units, from: 20, to: 77, blocks: 500)?.isGood == true)
        #expect(second.read(block: 77, blocks: 500)?.data == data)
    }

    /// A unit that the initiator could not log in to by this portal is not there for its copies either, as source or as
    /// destination, and the answer is the same as for one that does not exist.
    @Test func unitsOutOfReach() throws {
        let host = try Host(volumes: 2, portals: 2)
        let second = try Self.session(host, volume: 1, portal: 1)
        let secret = pattern(8 * 512, seed: 5)
        #expect(second.write(block: 0, secret)?.isGood == true)
        _ = try host.apply { $0.targets[1].portalGroups.removeFirst() }
        let session = try Self.session(host)
        let (own, other) = (Self.wwid(host, 0), Self.wwid(host, 1))
        for units in [[own, other], [other, own], [own, 0x3000_0000_dead_beef]] {
            let outcome = try #require(Self.copy(session, units, from: 0, to: 100, blocks: 8))
            #expect(outcome.status == 2 && outcome.senseKey == 0x0a && outcome.additionalSense == 0x0d02)
        }
        #expect(session.read(block: 100, blocks: 8)?.data == [UInt8](repeating: 0, count: 8 * 512))
        #expect(second.read(block: 100, blocks: 8)?.data == [UInt8](repeating: 0, count: 8 * 512))
    }

    /// The same for a unit that the initiator may not see.
    @Test func unitsOutOfSight() throws {
        let host = try Host(volumes: 2)
        let second = try Self.session(host, volume: 1)
        let secret = pattern(8 * 512, seed: 6)
        #expect(second.write(block: 0, secret)?.isGood == true)
        let session = try Self.session(host)
        let (own, other) = (Self.wwid(host, 0), Self.wwid(host, 1))
        #expect(Self.copy(session, [other, own], from: 0, to: 200, blocks: 8)?.isGood == true)
        _ = try host.apply { $0.targets[1].initiators = ["iqn.2026-01.net.example:client1"] }
        for units in [[own, other], [other, own], [own, 0x3000_0000_dead_beef]] {
            let outcome = try #require(Self.copy(session, units, from: 0, to: 100, blocks: 8))
            #expect(outcome.status == 2 && outcome.senseKey == 0x0a && outcome.additionalSense == 0x0d02)
        }
        #expect(session.read(block: 100, blocks: 8)?.data == [UInt8](repeating: 0, count: 8 * 512))
        // The session that was there lost its unit, and another does not come in.
        #expect(eventually { host.sessionCount == 1 })
        #expect(throws: TestSession.LoginFailed.self) { try Self.session(host, volume: 1) }
    }

    /// A copy does not wait for a SANITIZE of its destination, or its session would stand in the way of the initiator's next
    /// login for as long as that takes.
    @Test func ontoAUnitThatIsBeingSanitized() throws {
        let host = try Host(volumes: 2)
        let (first, second) = (try Self.session(host), try Self.session(host, volume: 1))
        #expect(first.write(block: 0, pattern(4096))?.isGood == true)
        let list: [UInt8] = [0x1f, 0, 0, 1, 0x11]
        #expect(second.execute([0x48, 0x81, 0, 0, 0, 0, 0, 0, 5, 0], writing: list)?.isGood == true)
        let units = [Self.wwid(host, 0), Self.wwid(host, 1)]
        let outcome = try #require(Self.copy(first, units, from: 0, to: 0, blocks: 8))
        #expect(outcome.status == 2 && outcome.senseKey == 0x0a && outcome.additionalSense == 0x0d01)
        #expect(second.execute([0x00])?.additionalSense == 0x041b, "it goes on")
        #expect(first.works())
        #expect(eventually { second.execute([0x00])?.isGood == true })
    }

    @Test func beyondTheEnd() throws {
        let host = try Host()
        let session = try Self.session(host)
        let last = (64 << 20) / 512 - UInt64(1)
        let outcome = try #require(Self.copy(session, [Self.wwid(host, 0)], from: 0, to: last, blocks: 2))
        #expect(outcome.status == 2 && outcome.senseKey == 0x0a)
        #expect(session.works())
    }

    /// The end of a copy is waited for when it is aborted or its connection ends; the unit and its memory are free then.
    @Test func abortedAndCutCopies() throws {
        let host = try Host()
        let other = try TestSession(port: host.port, target: host.target, isid: 9)
        other.settle()
        for round in 0..<10 {
            let session = try Self.session(host)
            let header: [UInt8] = [1, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0]
            let target =
                [0xe4, 0, 0, 0, 1, 3, 0, 8] + Self.integer(Self.wwid(host, 0), 8)
                + [UInt8](repeating: 0, count: 13) + [0, 2, 0]
            let segment: [UInt8] =
                [0x02, 0, 0, 0x18, 0, 0, 0, 0, 0, 0, 0xff, 0xff] + Self.integer(0, 8) + Self.integer(65_537, 8)
            let list = header + target + segment
            let tag = session.begin(
                [0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, UInt8(list.count), 0, 0], writes: list.count,
                immediate: list)
            if round % 2 == 0 {
                let result = session.manage(.abortTask, referenced: tag)
                #expect(result == .functionComplete || result == .taskDoesNotExist)
            }
            session.wire.disconnect()
            // Alone on the unit, which is only let in between two steps of the copy.
            let seen = try #require(other.read(block: 3, blocks: 1)).data
            #expect(
                other.execute(CDB.compareAndWrite(3, 1), writing: seen + pattern(512, seed: UInt8(round)))?.isGood
                    == true)
        }
        #expect(eventually { host.payloadBytes == 0 && host.sessionCount == 1 })
    }
}
