import FoundationEssentials
import Glibc

/// Asks the daemon something.
enum ControlClient {
    /// The answer of the first of `paths` where a daemon answers.
    static func ask(_ request: ControlRequest, at paths: [String]) throws(CommandFailure) -> ControlAnswer {
        var failure: CommandFailure?
        for path in paths {
            do throws(CommandFailure) {
                return try ask(request, at: path)
            } catch {
                if failure == nil || error.code != .missing { failure = error }
            }
        }
        throw failure ?? CommandFailure(.missing, "no control socket is known")
    }

    private static func ask(_ request: ControlRequest, at path: String) throws(CommandFailure) -> ControlAnswer {
        let descriptor = UnixAddress.socket()
        guard descriptor >= 0 else { throw CommandFailure(.failed, "control socket \(path): \(systemText(errno))") }
        defer { close(descriptor) }
        guard let error = unsafe UnixAddress.with(path, { unsafe connect(descriptor, $0, $1) == 0 ? 0 : errno }) else {
            throw CommandFailure(.failed, "control socket \(path): the path is too long")
        }
        switch error {
        case 0: break
        case ENOENT, ECONNREFUSED, ENOTDIR:
            throw CommandFailure(
                .missing, "no storaged answers at \(path); start it (storaged run), or give its socket with --socket")
        case EACCES, EPERM:
            throw CommandFailure(
                .noPermission, "control socket \(path): \(systemText(error)); be root or storaged's user")
        default: throw CommandFailure(.failed, "control socket \(path): \(systemText(error))")
        }
        // Opening many files on a reload takes longer than a snapshot.
        // ... and what is kept on stable storage waits for its disk.
        let seconds = request.request == .reload ? 120 : request.request == .status ? 10 : 60
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let line = jsonLine(request)
        guard unsafe send(descriptor, line, line.count, Int32(MSG_NOSIGNAL)) == line.count else {
            throw CommandFailure(.failed, "control socket \(path): \(systemText(errno))")
        }
        var answer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while answer.last != UInt8(ascii: "\n"), answer.count < ControlAnswer.limitBytes {
            let count = unsafe read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            if count < 0 && errno == EAGAIN {
                throw CommandFailure(.failed, "storaged at \(path) does not answer; look at its log")
            }
            guard count > 0 else { break }
            answer += chunk[..<count]
        }
        guard !answer.isEmpty else {
            throw CommandFailure(.noPermission, "storaged at \(path) closed the connection; be root or storaged's user")
        }
        guard let decoded = try? JSONDecoder().decode(ControlAnswer.self, from: Data(answer)) else {
            throw CommandFailure(.failed, "storaged at \(path) answers in a form that this version does not know")
        }
        return decoded
    }
}
