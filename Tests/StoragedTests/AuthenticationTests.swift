import Glibc
import Testing

/// Who sees what, and who has to prove what, with the real daemon.
extension StoragedTests {
    @Suite(.serialized) struct AuthenticationTests {
        let scene = Scene()
        let port = freePort()
        static let prefix = "iqn.2026-01.net.example:rack1"
        let client0 = "\(prefix):client:client0"
        let client1 = "\(prefix):client:client1"
        let esx = "iqn.1998-01.com.example:esx1"
        /// Both volumes are client0's, `b` is client1's too, and nobody else's.
        let a = "\(prefix):a"
        let b = "\(prefix):b"
        let secrets = [
            "client0": ("secret-of-client0-01", "target-for-client0-01"),
            "client1": ("secret-of-client1-01", "target-for-client1-01"),
            "esx1": ("secret-of-esx1-000001", "target-for-esx1-000001"),
        ]

        private func inventory(
            chap: String? = "{algorithms: [sha3-256, sha-256, sha-1, md5]", limits: String = "{loginSeconds: 10}",
            a: String = "[client0]", b: String = "[client0, client1]"
        ) -> String {
            let authentication = chap.map { "authentication: \($0), secrets: \(scene.path("secrets"))}\n" } ?? ""
            return scene.write(
                "rack.yaml",
                """
                rack: rack1
                iqn: iqn.2026-01.net.example
                networks: [{name: san0}, {name: san1}]
                hosts:
                  - name: storage0
                    portals:
                      - {network: san0, address: 127.0.0.1, port: \(port)}
                      - {network: san1, address: 127.0.0.2, port: \(port)}
                clients:
                  - {name: client0, address: 10.77.9.11, nodeID: 1}
                  - {name: client1, address: 10.77.9.12, nodeID: 2}
                initiators: [{name: esx1, initiator: "\(esx)"}]
                limits: \(limits)
                \(authentication)volumes:
                  - {name: a, size: 16MiB, path: \(scene.path("a.img")), hosts: [storage0], clients: \(a)}
                  - {name: b, size: 16MiB, path: \(scene.path("b.img")), hosts: [storage0], clients: \(b)}

                """)
        }

        private func writeSecrets(of names: [String] = ["client0", "client1", "esx1"]) {
            unsafe mkdir(scene.path("secrets"), 0o700)
            for name in names {
                guard let pair = secrets[name] else { continue }
                let path = scene.write("secrets/\(name)", "initiator: \(pair.0)\ntarget: \(pair.1)\n")
                #expect(unsafe chmod(path, 0o600) == 0)
            }
        }

        private func serve(_ inventory: String) throws -> DaemonProcess {
            writeSecrets()
            return try scene.serving(["run", "--rack", inventory, "--host", "storage0"])
        }

        private func chap(_ name: String = "client0", to target: String? = nil, algorithm: Int = 8) -> RawChap {
            let initiator = name == "esx1" ? esx : "\(Self.prefix):client:\(name)"
            return RawChap(
                initiatorName: initiator, targetName: target, secret: secrets[name]?.0 ?? "", algorithm: algorithm)
        }

        private func connect(from source: String = "127.0.0.1") throws -> RawConnection {
            try RawConnection(port: port, from: source)
        }

        /// A login without authentication; its connection and response.
        private func plainLogin(
            _ initiator: String, to target: String?, from source: String = "127.0.0.1"
        ) throws -> (connection: RawConnection, answer: RawPDU) {
            let connection = try connect(from: source)
            var login = RawLogin()
            login.keys =
                ["InitiatorName=\(initiator)", "HeaderDigest=None"]
                + (target.map { ["SessionType=Normal", "TargetName=\($0)"] } ?? ["SessionType=Discovery"])
            connection.send(login.pdu)
            return (connection, try #require(connection.receive()))
        }

        private func verb(_ arguments: String...) -> DaemonProcess {
            scene.storaged(arguments + ["--socket", scene.path("control.sock")])
        }

        /// An initiator that does not believe the target just goes; the log has to say so, for nothing else does.
        @Test func leavingInTheMiddleIsLogged() throws {
            let daemon = try serve(inventory())
            let connection = try connect()
            var login = RawLogin(currentStage: 0, nextStage: 0, transit: false)
            login.keys = [
                "InitiatorName=\(client0)", "SessionType=Normal", "TargetName=\(a)", "AuthMethod=CHAP",
            ]
            connection.send(login.pdu)
            #expect(connection.receive().map { $0[36, 2] } == 0)
            connection.disconnect()
            #expect(
                eventually(seconds: 20) {
                    daemon.errors.contains("\(client0) to \(a) was left by the initiator in the middle of CHAP")
                })
            // Whoever leaves earlier is no news.
            let stranger = try connect()
            stranger.disconnect()
            let other = chap("client1", to: b).login(try connect())
            #expect(other.isLoggedIn)
            #expect(daemon.errors.components(of: "was left by") == 1)
        }

        // MARK: Names alone

        @Test func othersSeeNothing() throws {
            let daemon = try serve(inventory(chap: nil))
            for (name, sees) in [(client0, [a, b]), (client1, [b]), (esx, []), ("iqn.2026-01.net.example:x", [])] {
                let (connection, answer) = try plainLogin(name, to: nil)
                #expect(answer[36, 2] == 0)
                let number = UInt32(answer[24, 4]) &+ 1
                #expect(try connection.sendTargets(statusNumber: number) == sees, "\(name)")
                for target in [a, b] {
                    let seen = try connection.sendTargets(
                        target, statusNumber: number &+ (target == a ? 1 : 2),
                        commandNumber: target == a ? 2 : 3)
                    #expect(seen == (sees.contains(target) ? [target] : []))
                    let (_, answer) = try plainLogin(name, to: target)
                    // Success, or target not found (RFC 7143, 11.13.5), as for a name that nobody has.
                    #expect(answer[36, 2] == (sees.contains(target) ? 0 : 0x0203), "\(name) to \(target)")
                }
            }
            // Names are compared in their normal form.
            #expect(try plainLogin(client0.uppercased().replacing("IQN", with: "iqn"), to: a).answer[36, 2] == 0)
            let absent = try plainLogin(client0, to: "\(Self.prefix):none").answer
            #expect(absent[36, 2] == 0x0203)
            // A normal session may ask for its own target alone, and sees it.
            let (connection, answer) = try plainLogin(client1, to: b)
            #expect(try connection.sendTargets("", statusNumber: UInt32(answer[24, 4]) &+ 1) == [b])
            #expect(
                eventually(seconds: 5) {
                    daemon.errors.contains("login of \(esx) to \(a) refused")
                        && daemon.errors.contains("it is not among those that may see volume a")
                }, "\(daemon.errors)")
            #expect(scene.status().contains("\"access\" : 6"), "\(scene.status())")
            daemon.kill(SIGTERM)
        }

        @Test func exportForNamedInitiators() throws {
            let export = try scene.exporting(more: ["--initiator", client0, "--initiator", esx])
            for (name, status) in [(client0, UInt64(0)), (esx, 0), (client1, 0x0203)] {
                let connection = try RawConnection(port: export.port)
                var login = RawLogin()
                login.keys = ["InitiatorName=\(name)", "TargetName=\(export.targetName)", "SessionType=Normal"]
                connection.send(login.pdu)
                #expect(connection.receive()?[36, 2] == status, "\(name)")
            }
            export.process.kill(SIGTERM)
        }

        @Test func exportWithSecrets() throws {
            let made = scene.storaged(["secret", client0, esx, "--secrets", scene.path("own")])
            #expect(made.waitForEnd(seconds: 20) == 0, "\(made.errors)")
            let export = try scene.exporting(more: [
                "--initiator", client0, "--initiator", esx, "--secrets", scene.path("own"), "--algorithms", "sha-256",
            ])
            let lines = contents("own/\(client0)").split(separator: "\n").map(String.init)
            var chap = RawChap(
                initiatorName: client0, targetName: export.targetName, secret: String(lines[0].dropFirst(11)),
                algorithm: 7)
            chap.asks = true
            let outcome = chap.login(try RawConnection(port: export.port))
            #expect(outcome.isLoggedIn)
            #expect(outcome.keys["CHAP_R"] == outcome.expectedAnswer(String(lines[1].dropFirst(8))))
            // The other one's name with this one's secret, and an algorithm that is not allowed.
            chap.initiatorName = esx
            #expect(chap.login(try RawConnection(port: export.port)).status == 0x0201)
            chap.initiatorName = client0
            chap.algorithm = 8
            #expect(chap.login(try RawConnection(port: export.port)).status == 0x0201)
            export.process.kill(SIGTERM)
            #expect(
                scene.storaged(["export", scene.path("a.img"), "--secrets", scene.path("own")])
                    .waitForEnd(seconds: 20) == 64)
        }

        // MARK: CHAP

        @Test func everyAlgorithmOneWayAndMutual() throws {
            let daemon = try serve(inventory())
            for algorithm in 5...8 {
                for asks in [false, true] {
                    for target in [a, nil] {
                        var chap = chap(to: target, algorithm: algorithm)
                        chap.asks = asks
                        let connection = try connect()
                        let outcome = chap.login(connection)
                        #expect(outcome.isLoggedIn, "CHAP_A=\(algorithm): \(outcome)")
                        #expect(outcome.challenge.utf8.count == 2 + 64)
                        if asks {
                            #expect(outcome.keys["CHAP_N"] == (target ?? Self.prefix))
                            #expect(outcome.keys["CHAP_R"] == outcome.expectedAnswer(secrets["client0"]!.1))
                        } else {
                            #expect(outcome.keys["CHAP_R"] == nil && outcome.keys["CHAP_N"] == nil)
                        }
                        if target == nil {
                            #expect(try connection.sendTargets(statusNumber: outcome.statusNumber) == [a, b])
                        }
                    }
                }
            }
            let connection = try connect()
            #expect(chap("client1", to: b, algorithm: 7).login(connection).isLoggedIn)
            let status = scene.status()
            #expect(
                status.contains("\"algorithm\" : \"SHA-256\"") && status.contains("\"method\" : \"CHAP\""), "\(status)")
            #expect(daemon.errors.contains("initiator logged in (CHAP, SHA3-256, mutual)"))
            daemon.kill(SIGTERM)
        }

        @Test func whoeverProvesNothingGetsNothing() throws {
            let daemon = try serve(inventory(limits: "{loginFailuresPerAddress: 1000}"))
            // None offered, passed over, or another method.
            #expect(try plainLogin(client0, to: a).answer[36, 2] == 0x0201)
            #expect(try plainLogin(client0, to: nil).answer[36, 2] == 0x0201)
            var cases: [(RawChap, String)] = []
            var wrong = chap(to: a)
            wrong.secret = "secret-of-client0-02"
            cases.append((wrong, "the response is wrong"))
            // Another's name with a secret of one's own, and the other way round.
            var other = chap("client1", to: a)
            other.initiatorName = client0
            cases.append((other, "the response is wrong"))
            other.name = client1
            cases.append((other, "CHAP_N is not the name it logs in with"))
            var named = chap(to: a)
            named.name = "client0"
            cases.append((named, "CHAP_N is not the name it logs in with"))
            // The target's secret is not the initiator's.
            var turned = chap(to: a)
            turned.secret = secrets["client0"]!.1
            cases.append((turned, "the response is wrong"))
            // A name that nobody declared is answered as one with a wrong secret.
            var stranger = chap()
            stranger.initiatorName = "iqn.2026-01.net.example:stranger"
            cases.append((stranger, "there is no secret for a name like this"))
            var malformed = chap(to: a)
            malformed.response = "0x" + String(repeating: "41", count: 2000)
            cases.append((malformed, "CHAP_R is not 32 bytes"))
            for (chap, cause) in cases {
                let connection = try connect()
                let outcome = chap.login(connection)
                #expect(outcome.status == 0x0201, "\(chap): \(outcome)")
                #expect(outcome.keys.isEmpty)
                #expect(connection.closes(withinSeconds: 5))
                #expect(eventually(seconds: 5) { daemon.errors.contains(cause) }, "\(cause): \(daemon.errors)")
            }
            // A response that was right once, on a new connection.
            let first = try connect()
            let recorded = chap(to: a).login(first)
            #expect(recorded.isLoggedIn)
            var replay = chap(to: a)
            replay.response = recorded.response
            let second = try connect()
            #expect(replay.login(second).status == 0x0201)
            // A challenge of ours as the initiator's own: of a login that is under way on another connection.
            var asking = chap(to: a)
            asking.asks = true
            asking.challenge = recorded.challenge
            let third = try connect()
            #expect(asking.login(third).status == 0x0201)
            #expect(third.closes(withinSeconds: 5))
            #expect(eventually(seconds: 5) { daemon.errors.contains("one of ours, reflected") })
            // Those who prove who they are still do not see what is not theirs.
            let fourth = try connect()
            #expect(chap("client1", to: a).login(fourth).status == 0x0203)
            let fifth = try connect()
            let discovery = chap("esx1").login(fifth)
            #expect(discovery.isLoggedIn)
            #expect(try fifth.sendTargets(statusNumber: discovery.statusNumber) == [])
            expectSecretsNowhere(daemon)
            daemon.kill(SIGTERM)
        }

        /// Not in what it logs, says of itself, was started with or has in its environment.
        private func expectSecretsNowhere(_ daemon: DaemonProcess) {
            let checked = scene.storaged(["check", "--rack", scene.path("rack.yaml"), "--host", "storage0"])
            #expect(checked.waitForEnd(seconds: 20) == 0, "\(checked.errors)")
            let process = DaemonProcess(
                ["/usr/bin/cat", "/proc/\(daemon.processID)/cmdline", "/proc/\(daemon.processID)/environ"],
                errorsTo: scene.path("ps.err"), outputTo: scene.path("ps.out"))
            _ = process.waitForEnd(seconds: 10)
            #expect(process.output.contains("storaged"))
            for text in [daemon.errors, daemon.output, scene.status(), process.output, checked.output, checked.errors] {
                for (initiator, target) in secrets.values {
                    #expect(!text.contains(initiator) && !text.contains(target))
                }
            }
        }

        @Test func challengesNeverComeTwice() throws {
            var seen: Set<String> = []
            let rack = inventory()
            for _ in 0..<4 {
                let daemon = try serve(rack)
                for _ in 0..<250 {
                    let connection = try connect()
                    for keys in [["InitiatorName=\(client0)", "TargetName=\(a)", "AuthMethod=CHAP"], ["CHAP_A=8"]] {
                        var login = RawLogin(currentStage: 0, nextStage: 0, transit: false)
                        login.keys = keys
                        connection.send(login.pdu)
                        let answer = try #require(connection.receive())
                        if let challenge = RawChap.keys(answer.data)["CHAP_C"] {
                            #expect(seen.insert(challenge).inserted)
                        }
                    }
                }
                daemon.kill(SIGKILL)
            }
            #expect(seen.count == 1000)
            // No half of one comes twice either.
            #expect(Set(seen.map { $0.prefix(34) }).count == 1000)
        }

        // MARK: Too many tries

        @Test func anAddressThatGuessesIsRefusedForAWhile() throws {
            let daemon = try serve(inventory(limits: "{loginFailuresPerAddress: 5, loginFailureSeconds: 3}"))
            let connection = try connect(from: "127.0.0.9")
            #expect(chap(to: a).login(connection).isLoggedIn)
            var wrong = chap(to: a)
            wrong.secret = "secret-of-client0-02"
            for _ in 0..<5 {
                let guess = try connect(from: "127.0.0.9")
                #expect(wrong.login(guess).status == 0x0201)
            }
            let begin = now()
            // Closed unheard, right secret or not.
            for _ in 0..<20 {
                guard let refused = try? connect(from: "127.0.0.9") else { continue }
                #expect(chap(to: a).login(refused).status == nil)
            }
            #expect(now() - begin < 3, "this test is too slow for its window")
            // Others are heard, and the session of before goes on.
            let other = try connect(from: "127.0.0.10")
            #expect(chap("client1", to: b).login(other).isLoggedIn)
            var ping = RawPDU(opcode: 0x40)
            ping[16, 4] = 5
            ping[20, 4] = 0xffff_ffff
            connection.send(ping)
            #expect(connection.receive()?.opcode == 0x20)
            let status = scene.status()
            #expect(
                status.contains("\"addressesRefused\" : 1") && status.contains("\"authentication\" : 5"), "\(status)")
            #expect(status.contains("\"rateLimited\" : 20"), "\(status)")
            // And so is the address again when its time is over.
            #expect(
                eventually(seconds: 10) {
                    (try? connect(from: "127.0.0.9")).map { chap("client1", to: b).login($0).isLoggedIn } ?? false
                })
            #expect(now() - begin > 2.5)
            let lines = daemon.errors.split(separator: "\n")
            #expect(
                lines.filter { $0.contains("refusing connections of 127.0.0.9 for 3 s: 5 failed logins") }.count == 1)
            #expect(lines.filter { $0.contains("the response is wrong") }.count == 5)
            daemon.kill(SIGTERM)
        }

        @Test func aFloodOfFailuresDoesNotFillTheLog() throws {
            let daemon = try serve(inventory(limits: "{loginFailuresPerAddress: 1000}"))
            for _ in 0..<400 { _ = try plainLogin(client1, to: a) }
            let begin = now()
            let lines = daemon.errors.split(separator: "\n").filter { $0.contains("may see volume a") }.count
            #expect(lines >= 100 && lines < 200, "\(lines) lines")
            #expect(now() - begin < 20)
            #expect(scene.status().contains("\"access\" : 400"))
            daemon.kill(SIGTERM)
        }

        // MARK: Secrets

        @Test func badSecretsKeepItFromStarting() throws {
            let rack = inventory()
            func ending(_ part: String) {
                for verb in ["run", "check"] {
                    let process = scene.storaged([verb, "--rack", rack, "--host", "storage0"])
                    #expect(process.waitForEnd(seconds: 20) == 11)
                    #expect(process.errors.contains(part), "\(verb): \(process.errors)")
                    #expect(!process.errors.contains("secret-of-"))
                }
            }
            ending("\(scene.path("secrets")): error: there is no such folder")
            writeSecrets(of: ["client0", "esx1"])
            ending("\(scene.path("secrets/client1")): error: there is no file with the secrets of client1")
            writeSecrets()
            #expect(unsafe chmod(scene.path("secrets/client1"), 0o640) == 0)
            ending("client1: error: the file has mode 0640, so that others may read or write it; chmod 0600")
            writeSecrets()
            _ = scene.write("secrets/client1", "initiator: short\ntarget: target-for-client1-01\n")
            ending("client1:1:12: error: the initiator's secret has 5 bytes, and 12 to 255 are allowed")
            _ = scene.write("secrets/client1", "initiator: secret-of-client0-01\ntarget: target-for-client1-01\n")
            ending("client1 has a secret of client0")
            writeSecrets()
            let check = scene.storaged(["check", "--rack", rack, "--host", "storage0"])
            #expect(check.waitForEnd(seconds: 20) == 0)
            #expect(check.output.contains("seen by client0 client1"), "\(check.output)")
            #expect(check.output.contains("authentication CHAP (sha3-256, sha-256, sha-1, md5), mutual"))
            #expect(check.output.contains("failed logins, one address"))
        }

        @Test func secretsAreMadeByTheTool() throws {
            let rack = inventory()
            let made = scene.storaged(["secret", "--all", "--rack", rack])
            #expect(made.waitForEnd(seconds: 20) == 0, "\(made.errors)")
            let again = scene.storaged(["secret", "client0", "--rack", rack])
            #expect(again.waitForEnd(seconds: 20) == 13 && again.errors.contains("is there already"))
            #expect(scene.storaged(["secret", "--all", "--rack", rack]).waitForEnd(seconds: 20) == 0)
            let stranger = scene.storaged(["secret", "client9", "--rack", rack])
            #expect(stranger.waitForEnd(seconds: 20) == 12 && stranger.errors.contains("client9"))
            for arguments in [["secret"], ["secret", "--all", "client0"], ["secret", "../x"], ["secret", ".x"]] {
                #expect(scene.storaged(arguments + ["--rack", rack]).waitForEnd(seconds: 20) == 64, "\(arguments)")
            }
            var all: Set<Substring> = []
            for name in ["client0", "client1", "esx1"] {
                var found = stat()
                #expect(unsafe stat(scene.path("secrets/\(name)"), &found) == 0)
                #expect(found.st_mode & 0o7777 == 0o600)
                let lines = contents("secrets/\(name)").split(separator: "\n")
                #expect(lines.count == 2)
                for line in lines {
                    let secret = line.split(separator: " ")[1]
                    #expect(secret.utf8.count == 32 && all.insert(secret).inserted)
                    #expect(!made.output.contains(secret) && !made.errors.contains(secret))
                }
            }
            let replaced = scene.storaged(["secret", "client0", "--replace", "--rack", rack])
            #expect(replaced.waitForEnd(seconds: 20) == 0)
            #expect(
                contents("secrets/client0").split(separator: "\n").allSatisfy {
                    !all.contains($0.split(separator: " ")[1])
                })
            let check = scene.storaged(["check", "--rack", rack, "--host", "storage0"])
            #expect(check.waitForEnd(seconds: 20) == 0, "\(check.errors)")
            let daemon = try scene.serving(["run", "--rack", rack, "--host", "storage0"])
            var chap = chap(to: a)
            chap.secret = String(contents("secrets/client0").split(separator: "\n")[0].dropFirst(11))
            let connection = try connect()
            #expect(chap.login(connection).isLoggedIn)
            daemon.kill(SIGTERM)
        }

        private func contents(_ name: String) -> String {
            let process = DaemonProcess(
                ["/usr/bin/cat", scene.path(name)], errorsTo: "/dev/null", outputTo: scene.path("contents"))
            _ = process.waitForEnd(seconds: 10)
            return process.output
        }

        // MARK: Changes

        @Test func rightsAndSecretsChangeByReload() throws {
            let daemon = try serve(inventory())
            let connection = try connect()
            #expect(chap("client1", to: b).login(connection).isLoggedIn)
            let stays = try connect()
            #expect(chap(to: b).login(stays).isLoggedIn)
            // New secrets count for the next login; a bad file changes nothing.
            _ = scene.write("secrets/client0", "initiator: short\n")
            #expect(verb("reload").waitForEnd(seconds: 20) == 11)
            _ = scene.write("secrets/client0", "initiator: secret-of-client0-99\ntarget: target-for-client0-99\n")
            let reload = verb("reload")
            #expect(reload.waitForEnd(seconds: 20) == 0, "\(reload.errors)")
            #expect(reload.output.contains("authentication changed"), "\(reload.output)")
            #expect(!reload.output.contains("volume"), "\(reload.output)")
            let old = try connect()
            #expect(chap(to: a).login(old).status == 0x0201)
            var renewed = chap(to: a)
            renewed.secret = "secret-of-client0-99"
            let new = try connect()
            #expect(renewed.login(new).isLoggedIn)
            // Who uses a volume does not lose the sight of it by a slip, only by force, and is asked out first.
            _ = inventory(b: "[client0]")
            let refused = verb("reload")
            #expect(refused.waitForEnd(seconds: 20) == 13)
            #expect(refused.errors.contains("volume b is in use by \(client1)"), "\(refused.errors)")
            let forced = verb("reload", "--force")
            let asked = try #require(connection.receive())
            // An asynchronous message that asks for a logout within five seconds (RFC 7143, 11.9.1).
            #expect(asked.opcode == 0x32 && asked.header[36] == 1 && asked[42, 2] == 5)
            #expect(forced.waitForEnd(seconds: 30) == 0, "\(forced.errors)")
            #expect(connection.closes(withinSeconds: 10))
            #expect(daemon.errors.contains("does not let the initiator see the volume any more"))
            let again = try connect()
            #expect(chap("client1", to: b).login(again).status == 0x0203)
            // The other session of the volume has noticed nothing.
            var ping = RawPDU(opcode: 0x40)
            ping[16, 4] = 5
            ping[20, 4] = 0xffff_ffff
            stays.send(ping)
            #expect(stays.receive()?.opcode == 0x20)
            daemon.kill(SIGTERM)
        }

        // MARK: Other initiators

        /// libiscsi's own tools, which hash with MD5.
        @Test func libiscsiLogsInWithItsTools() throws {
            guard unsafe access("/usr/bin/iscsi-inq", X_OK) == 0 else {
                try Test.cancel("libiscsi-bin is not installed")
            }
            let daemon = try serve(inventory())
            func tool(_ arguments: String...) -> (code: Int32?, text: String) {
                let process = DaemonProcess(
                    arguments, errorsTo: scene.path("tool.err"), outputTo: scene.path("tool.out"))
                let code = process.waitForEnd(seconds: 30)
                return (code, process.output + process.errors)
            }
            let portal = "127.0.0.1:\(port)"
            let user = "\(client0)%secret-of-client0-01"
            let mutual = "?target_user=\(b)&target_password=target-for-client0-01"
            let listed = tool("/usr/bin/iscsi-ls", "-i", client0, "iscsi://\(user)@\(portal)")
            #expect(listed.text.contains(a) && listed.text.contains(b), "\(listed)")
            let inquiry = tool("/usr/bin/iscsi-inq", "-i", client0, "iscsi://\(user)@\(portal)/\(b)/0")
            #expect(inquiry.code == 0 && inquiry.text.contains("Vendor:STORAGED"), "\(inquiry)")
            let both = tool("/usr/bin/iscsi-inq", "-i", client0, "iscsi://\(user)@\(portal)/\(b)/0\(mutual)")
            #expect(both.code == 0 && both.text.contains("Vendor:STORAGED"), "\(both)")
            for (name, url) in [
                (client0, "iscsi://\(client0)%secret-of-client0-02@\(portal)/\(b)/0"),
                (client1, "iscsi://\(user)@\(portal)/\(b)/0"), (client0, "iscsi://\(portal)/\(b)/0"),
                (client0, "iscsi://\(user)@\(portal)/\(b)/0\(mutual)x"),
            ] {
                let refused = tool("/usr/bin/iscsi-inq", "-i", name, url)
                #expect(refused.code != 0 && !refused.text.contains("STORAGED"), "\(url): \(refused)")
            }
            #expect(daemon.errors.contains("initiator logged in (CHAP, MD5, mutual)"), "\(daemon.errors)")
            daemon.kill(SIGTERM)
        }
    }
}

extension String {
    /// How often `words` occur.
    fileprivate func components(of words: String) -> Int {
        var count = 0
        var rest = self[...]
        while let found = rest.firstRange(of: words) {
            count += 1
            rest = rest[found.upperBound...]
        }
        return count
    }
}
