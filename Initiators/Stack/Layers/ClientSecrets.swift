import PathDiscovery
import Rack

extension StackScope {
    /// Path of this client's file of secrets; nil where the inventory asks for no CHAP.
    package var secretsPath: String? { inventory.authentication.map { "\($0.secretsFolder)/\(client.name)" } }

    /// `CHAP, mutual` or `CHAP, one way`; nil where the inventory asks for none.
    package var authenticationText: String? {
        inventory.authentication.map { $0.isMutual ? "CHAP, mutual" : "CHAP, one way" }
    }

    /// This client's own secrets, read anew each time so that changed ones count from the next login on; nil where the
    /// inventory asks for none.
    ///
    /// - Throws: `.secrets`, with what is wrong with the folder or the file, never with anything that is in it.
    package func loadSecrets() throws(StackError) -> ChapSecrets? {
        guard let authentication = inventory.authentication else { return nil }
        let load = authentication.loadSecrets(of: [client.name])
        if let secrets = load.secrets[client.name], load.isComplete { return secrets }
        guard let problem = load.problems.first(where: { $0.severity == .error }) else {
            throw StackError(
                .secrets, object: secretsPath ?? client.name, cause: "it holds no secrets",
                advice: "make it with storaged secret \(client.name), and copy it to the hosts that need it")
        }
        let line = problem.line > 0 ? ":\(problem.line)" : ""
        throw StackError(
            .secrets, object: problem.file + line, cause: problem.message, advice: problem.advice)
    }

    /// What discovery proves and asks for; nil where the inventory asks for no CHAP.
    ///
    /// - Throws: `.secrets` as `loadSecrets`; `.failed` where the inventory rules out MD5, the one algorithm that libiscsi
    ///   knows, so that no login of discovery's could be accepted.
    public func discoveryCredentials() throws(StackError) -> DiscoveryCredentials? {
        guard let authentication = inventory.authentication else { return nil }
        guard authentication.algorithms.contains(.md5) else {
            let allowed = authentication.algorithms.map(\.rawValue).joined(separator: ", ")
            throw StackError(
                .failed, object: "discover",
                cause:
                    "\(inventory.name) asks for CHAP with \(allowed), and libiscsi, which discovery goes by, knows md5 "
                    + "only",
                advice: "attach plan and attach up need no discovery: they take everything from the inventory")
        }
        guard let secrets = try loadSecrets() else { return nil }
        return DiscoveryCredentials(
            name: client.initiatorName, secret: secrets.initiator.bytes,
            targetSecret: authentication.isMutual ? secrets.target?.bytes : nil, discoveryName: inventory.discoveryName)
    }

    /// What open-iscsi is told for a session with this volume's target; nil where the inventory asks for no CHAP.
    func authentication(for volume: Volume) throws(StackError) -> SessionAuthentication? {
        guard let authentication = inventory.authentication, let secrets = try loadSecrets() else { return nil }
        return SessionAuthentication(
            initiatorName: client.initiatorName, targetName: volume.targetName, secrets: secrets,
            algorithms: authentication.algorithms, isMutual: authentication.isMutual)
    }
}
