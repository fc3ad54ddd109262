import ISCSI
import Reactor
import SCSI

extension Connection {
    /// One login PDU, taken when all of it is in the buffer; false when it is not.
    func parseLogin() -> Bool {
        guard case .login(var machine) = phase else { return false }
        let available = receiveBuffer.count
        guard available >= BasicHeaderSegment.lengthBytes else { return false }
        let span = unsafe RawSpan(_unsafeStart: receiveBuffer.bytes, byteCount: available)
        guard let header = BasicHeaderSegment(span) else { return false }
        let layout = PDULayout(header, headerDigest: false, dataDigest: false)
        if layout.totalLength > receiveBuffer.capacity {
            // No login PDU is that long, so the machine may judge the header alone; it has a word for it or closes.
            answer(machine.receive(header, data: RawSpan()))
            if !isClosing { closesAfterOutput = true }
            return false
        }
        // Whoever does not speak iSCSI is found out by the first byte, not after the length it happens to claim.
        if header.opcode == nil || !(header.opcode?.isFromInitiator ?? false) {
            answer(machine.receive(header, data: RawSpan()))
            return false
        }
        guard available >= layout.totalLength else { return false }
        let data = span.extracting(layout.dataOffset..<(layout.dataOffset + layout.dataLength))
        let step = machine.receive(header, data: data)
        phase = .login(machine)
        receiveBuffer.consume(layout.totalLength)
        answer(step)
        return true
    }

    func answer(_ step: LoginStep) {
        switch step.outcome {
        case .continues: send(step)
        case .failed(let failure):
            note(failure)
            if step.response == nil { return cut() }
            send(step)
            closesAfterOutput = true
        case .established(let result): established(step, result)
        }
    }

    /// Counts a failed login, and logs it as far as there is room for lines.
    func note(_ failure: LoginFailure, isGuess: Bool = true) {
        let shared = reactor.shared
        let note = shared.loginFailures.note(
            LoginFailures.Reason(failure.status), of: peer, isGuess: isGuess && shared.isRestricted, now: reactor.now)
        if let left = note.unlogged {
            log(.warning, failure.description + (left > 0 ? "; \(left) failed logins before it were not logged" : ""))
        }
        if note.beginsRefusal {
            log(
                .warning,
                "refusing connections of \(peer.network) for \(shared.limits.loginFailureSeconds) s: "
                    + "\(shared.limits.loginFailuresPerAddress) failed logins in that time")
        }
    }

    private func send(_ step: LoginStep) {
        guard let response = step.response else { return }
        var pdu = OutboundPDU(header: response.header)
        if !step.text.isEmpty {
            guard let slot = reactor.pool.takeSparing(lengthBytes: step.text.count, for: reactor.controlAccount) else {
                return cut()
            }
            unsafe step.text.withUnsafeBytes { source in
                if let base = source.baseAddress {
                    unsafe reactor.pool.address(of: slot).copyMemory(from: base, byteCount: source.count)
                }
            }
            countOutput(slot)
            pdu.payload = PayloadReference(slot.rawValue)
            pdu.payloadLength = step.text.count
            pdu.releasesPayload = true
        }
        loginOutput.append(pdu)
        reactor.markDirty(self)
    }

    private func established(_ step: LoginStep, _ result: LoginResult) {
        guard let target = result.identity.targetName else {
            var step = step
            step.assign(tsih: 1)
            return enterFullFeature(step, result)
        }
        guard let unit = reactor.shared.target(target.text) else {
            var step = step
            step.refuse(.targetRemoved, cause: "the target was removed during login")
            return answer(step)
        }
        self.unit = unit
        let key = SessionKey(
            initiator: result.identity.initiatorName.text, isid: result.identity.isid, target: target.text,
            portalGroupTag: result.targetPortalGroupTag)
        switch reactor.shared.claim(key, by: reference) {
        case .granted(let tsih): begin(Session(key: key, tsih: tsih), step, result)
        case .waits:
            phase = .awaitingSession(step, result)
            awaitSession()
        }
    }

    /// The session that this login reinstates is gone.
    func loginGranted(tsih: UInt16) {
        // Refused already, for want of patience: the place goes back with the connection.
        if closesAfterOutput { return }
        guard case .awaitingSession(let step, let result) = phase, let target = result.identity.targetName else {
            return
        }
        let key = SessionKey(
            initiator: result.identity.initiatorName.text, isid: result.identity.isid, target: target.text,
            portalGroupTag: result.targetPortalGroupTag)
        begin(Session(key: key, tsih: tsih), step, result)
        parse()
    }

    private func begin(_ session: Session, _ step: LoginStep, _ result: LoginResult) {
        var step = step
        // Since the login was judged, and while it waited for an older session, the target may have been removed, or drained.
        let unit = reactor.shared.target(session.key.target)
        guard let unit, unit === self.unit else {
            step.refuse(.targetRemoved, cause: "the target was removed during login")
            return answer(step)
        }
        // A reload that looked for sessions to end before this one had its place has changed the rights before that.
        guard unit.target.isVisible(to: session.key.initiator) else {
            step.refuse(.targetNotFound, cause: "the right to see the target was withdrawn during login")
            return answer(step)
        }
        if let cause = reactor.shared.access.refusal(
            unit.target, tag: session.key.portalGroupTag, initiator: session.key.initiator)
        {
            step.refuse(.serviceUnavailable, cause: cause)
            return answer(step)
        }
        self.session = session
        step.assign(tsih: session.tsih)
        let nexus = NexusHandle(rawValue: reactor.shared.newNexus())
        self.nexus = nexus
        let information = NexusInformation(
            initiatorPortName: "\(session.key.initiator),i,0x\(session.key.isid)",
            relativeTargetPort: session.key.portalGroupTag)
        reactor.openAccount(of: self)
        unit.withUnit { $0.nexusEstablished(nexus, information) }
        enterFullFeature(step, result)
        log(.info, "initiator logged in" + (result.proof.map { " (\($0))" } ?? ""))
    }

    private func enterFullFeature(_ step: LoginStep, _ result: LoginResult) {
        send(step)
        if isClosing { return }
        let isDiscovery = result.identity.sessionType == .discovery
        operational = result.parameters
        proof = result.proof
        let window = isDiscovery ? 8 : reactor.shared.limits.commandsPerSession
        machine = FullFeatureConnection(
            parameters: TransferParameters(result.parameters), isDiscovery: isDiscovery, expCmdSN: result.expCmdSN,
            statSN: result.statSN, commandWindow: window)
        jobs = ContiguousArray(repeating: Job(), count: machine.taskCapacity)
        textNegotiation = TextNegotiation(login: result)
        if !isDiscovery { receiveBuffer.enlarge() }
        phase = .fullFeature
        hasLeftLogin = true
        reactor.shared.loginEnded(peer: peer)
        let interval = reactor.shared.limits.nopIntervalSeconds
        deadline = interval > 0 ? reactor.now + Int64(interval) * 1_000_000_000 : .max
        reactor.schedule(at: deadline)
        reactor.markDirty(self)
    }

    /// A text request's data is in: SendTargets, or a new MaxRecvDataSegmentLength.
    func answerText(_ data: RawSpan) {
        guard var negotiation = textNegotiation else { return }
        let directory = ReachedPortalDirectory(
            policy: PortalPolicy(shared: reactor.shared, portal: portal),
            reached: PortalAddress(localOf: descriptor) ?? portal)
        let outcome = negotiation.receive(
            machine.textRequest, data: data, parameters: &operational, directory: directory)
        textNegotiation = negotiation
        switch outcome {
        case .respond(let response, let text):
            guard !text.isEmpty else {
                machine.parameters = TransferParameters(operational)
                return machine.answerText(response, payload: .none, lengthBytes: 0)
            }
            guard let slot = reactor.pool.takeSparing(lengthBytes: text.count, for: reactor.controlAccount) else {
                // The answer may be as long as the initiator takes; without memory for it the negotiation is void.
                textNegotiation?.reset()
                return machine.reject(machine.textRequest.header, .longOperationReject)
            }
            unsafe text.withUnsafeBytes { source in
                if let base = source.baseAddress {
                    unsafe reactor.pool.address(of: slot).copyMemory(from: base, byteCount: source.count)
                }
            }
            countOutput(slot)
            machine.answerText(response, payload: PayloadReference(slot.rawValue), lengthBytes: text.count)
            machine.parameters = TransferParameters(operational)
        case .reject(let reason, let cause):
            log(.warning, "text request rejected: \(cause)")
            machine.reject(machine.textRequest.header, reason)
        }
    }

    /// What `status` says of the session; nil before it, and for discovery.
    func snapshot() -> (String, SessionSnapshot)? {
        guard let session, case .fullFeature = phase else { return nil }
        func yesNo(_ value: Bool) -> String { value ? "Yes" : "No" }
        return (
            session.key.target,
            SessionSnapshot(
                initiator: session.key.initiator, peer: peer.description, portal: portal.description,
                isid: session.key.isid.description, tsih: session.tsih, portalGroupTag: session.key.portalGroupTag,
                parameters: [
                    "HeaderDigest": operational.headerDigest.rawValue, "DataDigest": operational.dataDigest.rawValue,
                    "InitialR2T": yesNo(operational.initialR2T), "ImmediateData": yesNo(operational.immediateData),
                    "MaxRecvDataSegmentLength(initiator)": String(operational.initiatorMaxRecvDataSegmentLength),
                    "MaxRecvDataSegmentLength(target)": String(operational.targetMaxRecvDataSegmentLength),
                    "MaxBurstLength": String(operational.maxBurstLength),
                    "FirstBurstLength": String(operational.firstBurstLength),
                    "MaxOutstandingR2T": String(operational.maxOutstandingR2T),
                    "MaxConnections": String(operational.maxConnections),
                    "DataPDUInOrder": yesNo(operational.dataPDUInOrder),
                    "DataSequenceInOrder": yesNo(operational.dataSequenceInOrder),
                    "DefaultTime2Wait": String(operational.defaultTime2WaitSeconds),
                    "DefaultTime2Retain": String(operational.defaultTime2RetainSeconds),
                    "ErrorRecoveryLevel": String(operational.errorRecoveryLevel),
                ],
                inFlight: machine.tasksInFlight, ageSeconds: Int((reactor.now - startedAt) / 1_000_000_000),
                reactor: reactor.number,
                authentication: proof.map {
                    AuthenticationSnapshot(method: $0.method, algorithm: $0.algorithm, mutual: $0.isMutual)
                })
        )
    }
}

extension TransferParameters {
    /// The part of what login negotiated that moves data.
    init(_ parameters: OperationalParameters) {
        self.init()
        maximumSendBytes = parameters.initiatorMaxRecvDataSegmentLength
        maximumReceiveBytes = parameters.targetMaxRecvDataSegmentLength
        maximumBurstBytes = parameters.maxBurstLength
        firstBurstBytes = parameters.firstBurstLength
        initialR2T = parameters.initialR2T
        immediateData = parameters.immediateData
        headerDigest = parameters.headerDigest == .crc32c
        dataDigest = parameters.dataDigest == .crc32c
    }
}
