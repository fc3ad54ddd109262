import BlockStore
import Glibc
import ISCSI
import TargetServer
import Testing

/// Configurations that change under sessions, and the end of the server.
@Suite("Server: reload and shutdown")
struct ReloadTests {
    @Test("volumes come and go while another one's I/O goes on")
    func volumes() throws {
        let host = try Host(volumes: 2)
        let load = Load(port: host.port, target: host.target)
        #expect(load.goesOn())
        let second = host.configuration.targets[1].name
        let session = try TestSession(port: host.port, target: second)
        session.settle()
        #expect(session.works())

        #expect(try host.apply { $0.targets.append(try host.newVolume(2)) } == ["volume mpath2 added"])
        let third = try TestSession(port: host.port, target: "iqn.2026-01.net.example:mpath2")
        third.settle()
        #expect(third.works() && load.goesOn())

        #expect(try host.apply { $0.targets.remove(at: 1) } == ["volume mpath1 removed"])
        let message = try #require(session.next(.asyncMessage))
        #expect(AsyncMessage(header: message.header).event == .sessionDrop)
        #expect(session.wire.closes())
        #expect(throws: TestSession.LoginFailed.self) { try TestSession(port: host.port, target: second) }
        #expect(third.works() && load.goesOn() && load.stop())
    }

    @Test("a unit that goes tells its sessions so, and asks them to log out, before it goes")
    func goodbye() throws {
        let host = try Host(volumes: 2)
        let name = host.configuration.targets[1].name
        let (session, other) = (
            try TestSession(port: host.port, target: name), try TestSession(port: host.port, target: host.target)
        )
        session.settle()
        other.settle()
        #expect(session.execute([0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], reads: 16)?.data.count == 16)
        var configuration = host.configuration
        configuration.targets.remove(at: 1)
        let (server, new) = (host.server, configuration)
        let change = Background { _ = try? server.apply(new, goodbyeSeconds: 30) }
        let message = AsyncMessage(header: try #require(session.next(.asyncMessage)).header)
        #expect(message.event == .logoutRequest)
        #expect(session.settle() == [0x3f0e])
        // LUN LIST LENGTH 0, and no list.
        #expect(
            session.execute([0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], reads: 16)?.data
                == [UInt8](repeating: 0, count: 8))
        #expect(session.logOut() == .success)
        change.wait()
        #expect(other.settle() == [] && other.works())
    }

    @Test("nothing changed is nothing done")
    func nothing() throws {
        let host = try Host()
        let session = try TestSession(port: host.port, target: host.target)
        session.settle()
        #expect(try host.apply { _ in } == [])
        #expect(session.works())
    }

    @Test("a grown file is told to sessions, which see the new size")
    func growth() throws {
        let host = try Host()
        let session = try TestSession(port: host.port, target: host.target)
        session.settle()
        #expect(session.read(block: 131_072, blocks: 1)?.additionalSense == 0x2100)
        try host.configuration.targets[0].store.grow(toBytes: 96 << 20, blockLengthBytes: 512)
        #expect(try host.apply { _ in } == ["volume mpath0 resized"])
        #expect(session.settle() == [0x2a09])
        #expect(session.execute([0x25], reads: 8)?.data == [0, 2, 0xff, 0xff, 0, 0, 2, 0])
        #expect(session.works(block: 190_000))
    }

    @Test("portals come and go; sessions through others do not notice, and stay with their unit")
    func portals() throws {
        let host = try Host()
        let load = Load(port: host.port, target: host.target)
        #expect(load.goesOn())
        let session = try TestSession(port: host.port, target: host.target)
        session.settle()
        let added = Host.freePortal()
        let changes = try host.apply { configuration in
            configuration.portals.append(added)
            configuration.targets[0].portalGroups.append(PortalGroupConfiguration(portal: added, tag: 2))
        }
        #expect(changes == ["portal \(added) opened", "volume mpath0 changed"])
        let through = try TestSession(port: added.port, target: host.target)
        through.settle()
        let data = pattern(4096, seed: 8)
        #expect(through.write(block: 0, data)?.isGood == true)
        #expect(session.read(block: 0, blocks: 8)?.data == data)
        #expect(host.sessionCount == 3)

        #expect(load.goesOn() && load.stop())

        // All sessions stand on one unit: what one does to it the others hear, by whatever portal they came.
        try host.configuration.targets[0].store.grow(toBytes: 96 << 20, blockLengthBytes: 512)
        #expect(try host.apply { _ in } == ["volume mpath0 resized"])
        #expect(through.settle().contains(0x2a09) && session.settle().contains(0x2a09))

        #expect(
            try host.apply { configuration in
                configuration.portals.removeLast()
                configuration.targets[0].portalGroups.removeLast()
            } == ["portal \(added) closed", "volume mpath0 changed"])
        #expect(through.next(.asyncMessage) != nil && through.wire.closes())
        #expect(throws: Wire.Refused.self) { try TestSession(port: added.port, target: host.target) }
        session.settle()
        #expect(session.works(seed: 2))
    }

    @Test("a portal that cannot be opened leaves everything as it is")
    func portalTaken() throws {
        let host = try Host()
        let other = try Host()
        let session = try TestSession(port: host.port, target: host.target)
        session.settle()
        let taken = other.configuration.portals[0]
        #expect(throws: ServerError.self) { try host.apply { $0.portals.append(taken) } }
        #expect(session.works())
        var configuration = host.configuration
        configuration.portals = [Host.freePortal(), taken]
        configuration.targets[0].portalGroups = []
        let second = try TargetServer(configuration: configuration, logger: Host.silent)
        do throws(ServerError) {
            try second.start()
            Issue.record("two servers on one port")
        } catch {
            #expect(error.object == taken.description && error.cause == "Address already in use")
        }
    }

    @Test("shutdown answers what is in flight, says goodbye and closes")
    func shutdown() throws {
        let host = try Host { $0.drainSeconds = 60 }
        let idle = try TestSession(port: host.port, target: host.target, isid: 1)
        let session = try TestSession(port: host.port, target: host.target, isid: 2)
        session.settle()
        let tag = session.begin(CDB.write16(0, 8), writes: 4096)
        let r2t = R2T(header: try #require(session.next(.r2t)).header)

        let server = host.server
        let shutDown = Background { server.shutDown() }
        // The portal closes first, so that nobody comes in; the idle session goes at once.
        let port = host.port
        #expect(eventually { (try? Wire(port: port)) == nil })
        #expect(idle.next(.asyncMessage).map { AsyncMessage(header: $0.header).event } == .sessionDrop)
        #expect(idle.wire.closes())
        let data = pattern(4096)
        session.answer(r2t, data)
        #expect(session.finish(tag)?.isGood == true)
        let message = AsyncMessage(header: try #require(session.next(.asyncMessage)).header)
        #expect(message.event == .sessionDrop && message.parameter2 > 0)
        #expect(session.wire.closes())
        shutDown.wait()
        host.isShutDown = true
        var found = [UInt8](repeating: 0, count: 4096)
        #expect(unsafe pread(host.configuration.targets[0].store.fileDescriptor, &found, 4096, 0) == 4096)
        #expect(found == data)
    }

    @Test("shutdown waits no longer than its drain time for data that does not come")
    func shutdownCuts() throws {
        let host = try Host { $0.drainSeconds = 1 }
        let session = try TestSession(port: host.port, target: host.target)
        session.settle()
        _ = session.begin(CDB.write16(0, 8), writes: 4096)
        #expect(session.next(.r2t) != nil)
        host.shutDown()
        #expect(session.wire.closes())
    }
}
