import Glibc
import Testing

/// Target port groups by the operator's and by an initiator's hand, and drains, with the real daemon.
extension StoragedTests {
    @Suite(.serialized) struct AccessTests {
        let scene = Scene()
        let ports = [freePort(), freePort()]
        let target = "iqn.2026-01.net.example:rack1:a"
        let initiator = "iqn.2026-01.net.example:c"

        /// Two portals of one host with tags 1 and 2, and one volume.
        private func inventory(_ volume: String = "", groups: String = "") -> String {
            scene.write(
                "rack.yaml",
                """
                rack: rack1
                iqn: iqn.2026-01.net.example
                hosts:
                  - name: storage0
                    portals:
                      - {network: san0, address: 127.0.0.1, port: \(ports[0]), tag: 1\(groups)}
                      - {network: san1, address: 127.0.0.1, port: \(ports[1]), tag: 2\(groups)}
                volumes:
                  - {name: a, size: 16MiB, path: \(scene.path("a.img")), hosts: [storage0]\(volume)}
                """)
        }

        private func serve(_ volume: String = "", groups: String = "") throws -> DaemonProcess {
            try scene.serving(["run", "--rack", inventory(volume, groups: groups), "--host", "storage0"])
        }

        private func portal(_ number: Int) -> String { "127.0.0.1:\(ports[number])" }

        private func login(_ number: Int, _ name: String? = nil, settled: Bool = true) throws -> RawSession {
            let session = try RawSession(port: ports[number], targetName: target, initiatorName: name ?? initiator)
            if settled { session.settle() }
            return session
        }

        /// Runs one of storaged's verbs against the daemon.
        private func verb(_ arguments: String...) -> DaemonProcess {
            scene.storaged(arguments + ["--socket", scene.path("control.sock")])
        }

        /// The status of a login: class and detail (RFC 7143, 11.13.5).
        private func loginStatus(_ number: Int, _ name: String? = nil) throws -> UInt64 {
            let connection = try RawConnection(port: ports[number])
            var login = RawLogin()
            login.keys = [
                "InitiatorName=\(name ?? initiator)", "TargetName=\(target)", "SessionType=Normal", "HeaderDigest=None",
            ]
            connection.send(login.pdu)
            return try #require(connection.receive())[36, 2]
        }

        /// The state in each group's descriptor of REPORT TARGET PORT GROUPS, by group.
        private func states(_ session: RawSession) -> [UInt16: UInt8] {
            guard let data = session.execute([0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], reads: 256)?.data else {
                return [:]
            }
            var states: [UInt16: UInt8] = [:]
            var offset = 4
            while offset + 8 <= data.count {
                states[UInt16(data[offset + 2]) << 8 | UInt16(data[offset + 3])] = data[offset] & 0x0f
                offset += 8 + Int(data[offset + 7]) * 4
            }
            return states
        }

        /// Waits for the asynchronous message that asks for a logout, and logs out.
        private func logOutWhenAsked(_ session: RawSession) throws {
            let message = try #require(session.connection.receive())
            #expect(message.opcode == 0x32 && message.header[36] == 1, "\(message)")
            #expect(message[42, 2] > 0)
            var logout = RawPDU(opcode: 0x46)
            logout[16, 4] = 900
            logout[24, 4] = UInt64(session.commandNumber)
            session.connection.send(logout)
            #expect(session.connection.receive()?.opcode == 0x26)
            session.connection.disconnect()
        }

        @Test func aPortalIsDrainedAcrossAKillAndComesBack() throws {
            var served = try serve()
            let leaving = try login(0)
            let staying = try login(1)
            leaving.works()
            let drain = verb("drain", "--portal", portal(0), "--grace", "1")
            try logOutWhenAsked(leaving)
            #expect(drain.waitForEnd(seconds: 30) == 0)
            #expect(
                drain.output == "portal \(portal(0)) drained: 1 session logged out\n", "\(drain.output)\(drain.errors)")

            // The other path hears of it and goes on.
            let told = try #require(staying.read(lba: 0, blocks: 1))
            #expect(told.senseKey == 6 && told.additionalSense == 0x2a06)
            staying.works(seed: 2)
            #expect(states(staying) == [1: 3, 2: 0])
            #expect(try loginStatus(0) == 0x0301)
            let status = verb("status")
            #expect(status.waitForEnd(seconds: 20) == 1)
            #expect(status.output.contains("WARNING  drained: portal \(portal(0))"), "\(status.output)")
            #expect(status.output.contains("port group 1  \(portal(0))  unavailable (drained)"), "\(status.output)")

            // Again says so, and changes nothing.
            let again = verb("drain", "--portal", portal(0), "--json")
            #expect(again.waitForEnd(seconds: 30) == 0)
            #expect(again.output.contains("\"outcome\" : \"already drained\""), "\(again.output)")

            var found = stat()
            #expect(unsafe stat(scene.path("state/alua-storage0.json"), &found) == 0)
            #expect(found.st_mode & 0o777 == 0o600)
            served.kill(SIGKILL)
            served = try serve()
            #expect(try loginStatus(0) == 0x0301)
            let next = try login(1)
            #expect(states(next) == [1: 3, 2: 0])

            let undrain = verb("undrain", "--portal", portal(0))
            #expect(undrain.waitForEnd(seconds: 20) == 0)
            #expect(undrain.output == "portal \(portal(0)) undrained\n")
            let back = try login(0)
            back.works(seed: 3)
            #expect(states(back) == [1: 0, 2: 0])
            let nothing = verb("undrain", "--portal", portal(0))
            #expect(nothing.waitForEnd(seconds: 20) == 0)
            #expect(nothing.output == "portal \(portal(0)) was not drained\n")
            served.kill(SIGTERM)
        }

        @Test func aVolumeIsDrainedWhenItsLastCommandHasEnded() throws {
            let served = try serve()
            let session = try login(0)
            // A write whose data has not come yet; the first burst comes with it, the rest is asked for.
            let data = [UInt8](repeating: 7, count: 131072)
            let write = session.command(
                RawSession.cdb(0x2a, 0, 256), writes: data.count, immediate: Array(data[..<65536]))
            session.connection.send(write)
            let request = try #require(session.connection.receive())
            #expect(request.opcode == 0x31)
            let early = verb("drain", "--volume", "a", "--timeout", "1")
            #expect(early.waitForEnd(seconds: 30) == 1)
            #expect(early.output.contains("volume a drained: 1 session still there, 1 command still in flight"))
            // It is finished all the same: what was begun before the drain is answered.
            var rest = RawPDU(opcode: 0x05)
            rest[16, 4] = write[16, 4]
            rest[20, 4] = request[20, 4]
            rest[40, 4] = 65536
            rest.data = Array(data[65536...])
            session.connection.send(rest)
            #expect(session.result(of: UInt32(write[16, 4]))?.status == 0)
            let drain = verb("drain", "--volume", "a")
            #expect(drain.waitForEnd(seconds: 30) == 0)
            #expect(drain.output == "volume a already drained: 1 session still there\n", "\(drain.output)")

            session.settle()
            for command in [RawSession.cdb(0x28, 0, 1), [0, 0, 0, 0, 0, 0]] {
                let result = try #require(session.execute(command, reads: command.count == 10 ? 512 : 0))
                #expect(result.senseKey == 2 && result.additionalSense == 0x040c)
            }
            #expect(session.write(lba: 0, [UInt8](repeating: 1, count: 512))?.additionalSense == 0x040c)
            #expect(session.execute([0x12, 0, 0, 0, 96, 0], reads: 96)?.data.first == 0x20)
            #expect(try loginStatus(1) == 0x0301)
            #expect(verb("undrain").waitForEnd(seconds: 20) == 0)
            session.settle()
            #expect(session.read(lba: 0, blocks: 256)?.data == data)
            session.works(seed: 9)
            served.kill(SIGTERM)
        }

        @Test func anInitiatorThatDoesNotLogOutIsCutOff() throws {
            let served = try serve()
            let guilty = try login(0, "iqn.2026-01.net.example:guilty")
            let other = try login(0)
            let drain = verb(
                "drain", "--initiator", "iqn.2026-01.net.example:guilty", "--logout-timeout", "1")
            #expect(drain.waitForEnd(seconds: 30) == 0)
            #expect(drain.output.hasSuffix("guilty drained: 1 session cut off\n"), "\(drain.output)")
            #expect(guilty.connection.closes(withinSeconds: 10))
            #expect(try loginStatus(1, "iqn.2026-01.net.example:guilty") == 0x0301)
            // The others do not even hear of it.
            other.works()
            #expect(states(other) == [1: 0, 2: 0])
            let undrain = verb("undrain", "--host", "--json")
            #expect(undrain.waitForEnd(seconds: 20) == 0)
            #expect(undrain.output.contains("\"name\" : \"iqn.2026-01.net.example:guilty\""))
            try login(1, "iqn.2026-01.net.example:guilty").works(seed: 2)
            served.kill(SIGTERM)
        }

        @Test func theWholeHostIsDrained() throws {
            let served = try serve()
            let sessions = [try login(0), try login(1, "iqn.2026-01.net.example:d")]
            let drain = verb("drain", "--grace", "0")
            for session in sessions { try logOutWhenAsked(session) }
            #expect(drain.waitForEnd(seconds: 30) == 0)
            #expect(drain.output == "host storage0 drained: 2 sessions logged out\n", "\(drain.output)")
            #expect(try loginStatus(0) == 0x0301)
            #expect(try loginStatus(1) == 0x0301)
            #expect(verb("undrain").waitForEnd(seconds: 20) == 0)
            try login(0).works()
            served.kill(SIGTERM)
        }

        @Test func everyStateByTheOperatorsHand() throws {
            let served = try serve()
            let session = try login(0)
            let other = try login(1)
            let expected: [(argument: String, code: UInt8, sense: UInt16)] = [
                ("non-optimized", 1, 0), ("standby", 2, 0x040b), ("unavailable", 3, 0x040c),
                ("transitioning", 15, 0x040a),
                ("active/optimized", 0, 0),
            ]
            for (argument, code, sense) in expected {
                let alua = verb("alua", "--portal", portal(0), "--state", argument)
                #expect(alua.waitForEnd(seconds: 20) == 0, "\(alua.errors)")
                #expect(alua.output.hasPrefix("volume a  group 1  "), "\(alua.output)")
                for each in [session, other] {
                    #expect(each.execute([0, 0, 0, 0, 0, 0])?.additionalSense == 0x2a06, "\(argument)")
                    #expect(states(each) == [1: code, 2: 0], "\(argument)")
                }
                let result = try #require(session.read(lba: 0, blocks: 1))
                #expect(
                    result.additionalSense == sense && (result.status == 0) == (sense == 0), "\(argument): \(result)")
                other.works()
            }
            let same = verb("alua", "--state", "optimized")
            #expect(same.waitForEnd(seconds: 20) == 0 && same.output.contains("already active/optimized"))
            // Offline ends the sessions of the port, and no login is taken.
            #expect(verb("alua", "--group", "1", "--state", "offline").waitForEnd(seconds: 20) == 0)
            #expect(session.connection.closes(withinSeconds: 10))
            #expect(try loginStatus(0) == 0x0301)
            other.settle()
            #expect(states(other) == [1: 14, 2: 0])
            // What the operator took offline, no initiator brings back.
            let back = other.execute([0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0], writing: [0, 0, 0, 0, 0, 0, 0, 1])
            #expect(back?.senseKey == 4 && back?.additionalSense == 0x670a)
            #expect(verb("alua", "--group", "9", "--state", "standby").waitForEnd(seconds: 20) == 12)
            #expect(verb("alua", "--volume", "b", "--state", "standby").waitForEnd(seconds: 20) == 12)
            #expect(verb("alua", "--state", "sideways").waitForEnd(seconds: 20) == 64)
            served.kill(SIGTERM)
        }

        @Test func anInitiatorSetsStatesThatOutliveTheDaemon() throws {
            var served = try serve()
            let session = try login(0)
            let other = try login(1)
            let list: [UInt8] = [0, 0, 0, 0, 0x02, 0, 0, 1, 0x01, 0, 0, 2]
            func set(_ list: [UInt8], _ session: RawSession) -> RawResult? {
                session.execute([0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, UInt8(list.count), 0, 0], writing: list)
            }
            #expect(set(list, session)?.status == 0)
            // Kept before it was answered: a kill right behind the answer changes nothing.
            served.kill(SIGKILL)
            served = try serve()
            let again = try login(1)
            #expect(states(again) == [1: 2, 2: 1])
            again.works()
            _ = other
            // The one who asks hears nothing of its own change; a drained group is not an initiator's to change.
            #expect(set([0, 0, 0, 0, 0, 0, 0, 1], again)?.status == 0)
            again.works(seed: 2)
            #expect(verb("drain", "--portal", portal(0)).waitForEnd(seconds: 20) == 0)
            again.settle()
            let refused = try #require(set([0, 0, 0, 0, 0, 0, 0, 1], again))
            #expect(refused.senseKey == 4 && refused.additionalSense == 0x670a)
            #expect(states(again) == [1: 3, 2: 1])
            served.kill(SIGTERM)
        }

        @Test func initiatorsThatLeaveOrAbortInTheMiddleOfAChange() throws {
            let served = try serve()
            let steady = try login(1)
            for round in 0..<20 as Range<UInt8> {
                let leaving = try login(0)
                var last: RawPDU?
                for number in 0..<8 as Range<UInt8> {
                    let list: [UInt8] = [0, 0, 0, 0, (number + round) % 2, 0, 0, 1]
                    let command = leaving.command(
                        [0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0], writes: list.count, immediate: list)
                    leaving.connection.send(command)
                    last = command
                }
                if let last, round % 2 == 0 {
                    // ABORT TASK of the last one: answered, whether the change came first or not.
                    var abort = RawPDU(opcode: 0x42, flags: 0x81)
                    abort[16, 4] = 5000
                    abort[20, 4] = last[16, 4]
                    abort[24, 4] = UInt64(leaving.commandNumber)
                    abort[32, 4] = last[24, 4]
                    leaving.connection.send(abort)
                    var isAnswered = false
                    while !isAnswered, let pdu = leaving.connection.receive() { isAnswered = pdu.opcode == 0x22 }
                    #expect(isAnswered, "round \(round)")
                }
                leaving.connection.disconnect()
            }
            steady.settle()
            steady.works()
            // All sessions but one are gone: nothing of them is stuck.
            #expect(eventually(seconds: 10) { scene.status().components(of: "\"tsih\"") == 1 })
            let json = scene.status()
            #expect(json.contains("\"state\" : \"active/optimized\""), "\(json)")
            #expect(json.contains("\"drains\" : ["))
            served.kill(SIGTERM)
        }

        @Test func aNamedGroupHasOneState() throws {
            let served = try serve(groups: ", group: front")
            let sessions = [try login(0), try login(1)]
            let first = states(sessions[0])
            #expect(first.count == 1 && first.values.first == 0)
            #expect(verb("alua", "--portal", portal(1), "--state", "standby").waitForEnd(seconds: 20) == 0)
            for session in sessions {
                session.settle()
                #expect(session.read(lba: 0, blocks: 1)?.additionalSense == 0x040b)
            }
            // A group of its own again by reload: its sessions stay, and hear that page 83h is another one.
            _ = inventory()
            #expect(verb("reload").waitForEnd(seconds: 20) == 0)
            for session in sessions {
                var told: [UInt16] = []
                while let result = session.execute([0, 0, 0, 0, 0, 0]), result.status != 0, told.count < 4 {
                    told.append(result.additionalSense)
                }
                #expect(told.contains(0x3f03), "\(told)")
                session.works()
                #expect(states(session) == [1: 0, 2: 0])
            }
            served.kill(SIGTERM)
        }

        @Test func aStateThatCannotBeKeptIsNotTaken() throws {
            _ = scene.write("state", "a file where the folder should be")
            let served = try serve()
            let session = try login(0)
            let drain = verb("drain")
            #expect(drain.waitForEnd(seconds: 20) == 1)
            #expect(drain.errors.contains("state/alua-storage0.json") && drain.errors.contains("--state-directory"))
            session.works()
            #expect(verb("alua", "--state", "standby").waitForEnd(seconds: 20) == 1)
            let told = try #require(session.read(lba: 0, blocks: 1))
            #expect(told.senseKey == 6 && told.additionalSense == 0x2a07)
            session.works(seed: 2)
            served.kill(SIGTERM)
        }

        @Test func aStateFileThatCannotBeReadStopsTheStart() throws {
            _ = scene.run("/usr/bin/mkdir", scene.path("state"))
            for text in ["", "{", "{\"schema\":\"storaged.alua/2\",\"groups\":[],\"drains\":[]}"] {
                _ = scene.write("state/alua-storage0.json", text)
                let process = scene.storaged(["run", "--rack", inventory(), "--host", "storage0"])
                #expect(process.waitForEnd(seconds: 20) == 1)
                #expect(
                    process.errors.contains("state file \(scene.path("state/alua-storage0.json"))"), "\(process.errors)"
                )
            }
            _ = scene.write("state/alua-storage0.json", "{\"schema\":\"storaged.alua/1\",\"groups\":[],\"drains\":[]}")
            try serve().kill(SIGTERM)
        }

        @Test func aVolumeThatBeganReadOnlyBecomesWritable() throws {
            #expect(scene.run("/usr/bin/truncate", "-s", "16777216", scene.path("a.img")) == 0)
            let served = try serve(", readOnly: yes")
            let session = try login(0)
            let block = [UInt8](repeating: 1, count: 512)
            #expect(session.write(lba: 0, block)?.additionalSense == 0x2700)
            _ = inventory()
            let reload = verb("reload")
            #expect(reload.waitForEnd(seconds: 20) == 0, "\(reload.errors)")
            #expect(reload.output.contains("volume a is now writable"), "\(reload.output)")
            session.settle()
            #expect(session.write(lba: 0, block)?.status == 0)
            session.works()
            // It is locked as before: nobody else gets it.
            #expect(scene.run("/usr/bin/flock", "-n", scene.path("a.img"), "/usr/bin/true") == 1)
            // UNMAP is there now (LBPME of READ CAPACITY (16)).
            let capacity = session.execute([0x9e, 0x10] + [UInt8](repeating: 0, count: 11) + [32, 0, 0], reads: 32)
            #expect(capacity?.data[14] == 0xc0)
            served.kill(SIGTERM)
        }

        @Test func theReadOnlySwitchTakesEffectByReload() throws {
            let served = try serve()
            let session = try login(0)
            session.works()
            _ = inventory(", readOnly: yes")
            #expect(verb("reload").waitForEnd(seconds: 20) == 0)
            session.settle()
            let refused = try #require(session.write(lba: 0, [UInt8](repeating: 1, count: 512)))
            #expect(refused.senseKey == 7 && refused.additionalSense == 0x2700)
            #expect(session.read(lba: 0, blocks: 1)?.status == 0)
            // WP of the mode parameter header (SBC-3, 6.4.1).
            #expect(session.execute([0x1a, 0, 0x3f, 0, 4, 0], reads: 4)?.data[2] == 0x90)
            _ = inventory()
            #expect(verb("reload").waitForEnd(seconds: 20) == 0)
            session.settle()
            session.works(seed: 2)
            served.kill(SIGTERM)
        }
    }
}

extension String {
    /// How often a part stands in the text.
    fileprivate func components(of part: String) -> Int {
        var count = 0
        var rest = self[...]
        while let start = rest.firstIndex(where: { $0 == part.first }) {
            rest = rest[start...]
            if rest.hasPrefix(part) { count += 1 }
            rest = rest.dropFirst()
        }
        return count
    }
}
