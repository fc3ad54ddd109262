import CLinux
import FoundationEssentials
import Glibc

/// The control socket: one request line a connection, one answer line, by root or our own user only.
///
/// One thread serves all of it. Every bound is here: eight clients at a time, 4 KiB a request, five seconds a client from
/// connect to the last byte read, so nobody who may connect can hold up more than the control plane of a moment.
final class ControlServer: Sendable {
    private let path: String
    private let descriptor: Int32
    private let inode: UInt64

    private static let clientLimit = 8
    private static let deadlineSeconds = 5.0

    /// Makes the socket, mode 0600, and its folder, mode 0755, where that is missing. The socket of a daemon that died is
    /// replaced; that of one that answers is refused.
    init(path: String) throws(CommandFailure) {
        self.path = path
        let folder = String(path.reversed().drop { $0 != "/" }.dropFirst().reversed())
        if !folder.isEmpty, unsafe mkdir(folder, 0o755) != 0, errno != EEXIST {
            throw Self.failure(errno, path, "its folder cannot be made")
        }
        let probe = UnixAddress.socket()
        guard probe >= 0 else { throw Self.failure(errno, path, "cannot be made") }
        let connected = unsafe UnixAddress.with(path) { unsafe connect(probe, $0, $1) == 0 ? 0 : errno }
        close(probe)
        guard let connected else {
            throw CommandFailure(
                .failed, "control socket \(path): the path is too long; give a shorter one with --socket")
        }
        switch connected {
        case ENOENT: break
        case ECONNREFUSED:
            var status = stat()
            guard unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else {
                throw CommandFailure(
                    .busy, "control socket \(path): is something else; give another path with --socket")
            }
            unsafe unlink(path)
        case 0, EAGAIN, EINPROGRESS:
            throw CommandFailure(
                .busy,
                "control socket \(path): another storaged answers there; stop it, or give another path with --socket")
        default: throw Self.failure(connected, path, "cannot be looked at")
        }
        let listener = UnixAddress.socket()
        guard listener >= 0 else { throw Self.failure(errno, path, "cannot be made") }
        // The mode of the node that bind makes is taken from the socket, so it is never open to others, not for a moment.
        guard fchmod(listener, 0o600) == 0,
            unsafe UnixAddress.with(path, { unsafe bind(listener, $0, $1) }) == 0, listen(listener, 8) == 0
        else {
            let error = errno
            close(listener)
            if error == EADDRINUSE {
                throw CommandFailure(
                    .busy, "control socket \(path): another storaged took it; give another path with --socket")
            }
            throw Self.failure(error, path, "cannot be made")
        }
        var status = stat()
        inode = unsafe lstat(path, &status) == 0 ? UInt64(status.st_ino) : 0
        descriptor = listener
    }

    private static func failure(_ errorNumber: Int32, _ path: String, _ doing: String) -> CommandFailure {
        let code: CommandFailure.Code =
            switch errorNumber {
            case EACCES, EPERM, EROFS: .noPermission
            case ENOENT, ENOTDIR: .missing
            default: .failed
            }
        return CommandFailure(
            code, "control socket \(path): \(doing): \(systemText(errorNumber)); give another path with --socket")
    }

    /// Removes the socket, if it is still this one.
    func remove() {
        var status = stat()
        if unsafe lstat(path, &status) == 0, UInt64(status.st_ino) == inode { unsafe unlink(path) }
    }

    private struct ControlClient {
        var descriptor: Int32
        var deadline: Double
        var input: [UInt8] = []
        var output: [UInt8] = []
        var sent = 0
        var isAnswered: Bool { !output.isEmpty }
    }

    /// Serves for ever.
    func serve(_ answer: (ControlRequest) -> ControlAnswer) {
        var clients: [ControlClient] = []
        while true {
            let now = monotonicSeconds()
            for client in clients where client.deadline <= now { close(client.descriptor) }
            clients.removeAll { $0.deadline <= now }

            var polled = clients.map { client in
                pollfd(fd: client.descriptor, events: Int16(client.isAnswered ? POLLOUT : POLLIN), revents: 0)
            }
            let isAccepting = clients.count < Self.clientLimit
            if isAccepting { polled.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)) }
            let wait = clients.map { $0.deadline - now }.min().map { Int32($0 * 1000) + 1 } ?? -1
            let ready = unsafe poll(&polled, nfds_t(polled.count), wait)
            if ready < 0 && errno != EINTR { usleep(100_000) }
            guard ready > 0 else { continue }

            for index in clients.indices.reversed() where polled[index].revents != 0 {
                if !Self.advance(&clients[index], answer) {
                    close(clients[index].descriptor)
                    clients.remove(at: index)
                }
            }
            if isAccepting, polled[polled.count - 1].revents != 0, let client = accept() { clients.append(client) }
        }
    }

    private func accept() -> ControlClient? {
        let accepted = rack_accept(descriptor)
        guard accepted >= 0 else {
            // Out of descriptors: the connection waits in the queue while I/O goes on.
            if accepted == -EMFILE || accepted == -ENFILE { usleep(100_000) }
            return nil
        }
        var processID: Int32 = 0
        var user: UInt32 = 0
        let error = unsafe rack_peer_credentials(accepted, &processID, &user)
        guard error == 0, user == 0 || user == geteuid() else {
            close(accepted)
            return nil
        }
        _ = fcntl(accepted, F_SETFL, O_NONBLOCK)
        return ControlClient(descriptor: accepted, deadline: monotonicSeconds() + Self.deadlineSeconds)
    }

    /// Reads or writes what is possible; false when the connection is over.
    private static func advance(
        _ client: inout ControlClient, _ answer: (ControlRequest) -> ControlAnswer
    ) -> Bool {
        if !client.isAnswered {
            var chunk = [UInt8](repeating: 0, count: ControlRequest.limitBytes)
            let count = unsafe read(client.descriptor, &chunk, chunk.count)
            if count < 0 { return errno == EAGAIN || errno == EINTR }
            guard count > 0 else { return false }
            client.input += chunk[..<count]
            guard let end = client.input.firstIndex(of: UInt8(ascii: "\n")) else {
                return client.input.count < ControlRequest.limitBytes
            }
            let line = client.input[..<end]
            client.input = []
            if line.count < ControlRequest.limitBytes,
                let request = try? JSONDecoder().decode(ControlRequest.self, from: Data(line))
            {
                client.output = jsonLine(answer(request))
            } else {
                client.output = jsonLine(
                    ControlAnswer(
                        failure: CommandFailure(.failed, "unknown request; this storaged is of another version")))
            }
            // A reload may have taken its time; reading the answer is the client's own.
            client.deadline = monotonicSeconds() + deadlineSeconds
        }
        while client.sent < client.output.count {
            let count = unsafe client.output.withUnsafeBytes { buffer in
                unsafe send(
                    client.descriptor, buffer.baseAddress! + client.sent, buffer.count - client.sent,
                    Int32(MSG_NOSIGNAL))
            }
            if count < 0 { return errno == EAGAIN || errno == EINTR }
            client.sent += count
        }
        return false
    }
}
