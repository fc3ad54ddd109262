import Glibc

/// Inputs to begin with, where a corpus has none yet.
enum Seeds {
    static func write(_ name: String, to folder: String) {
        let texts: [[UInt8]] =
            switch name {
            case "rack": [[0xa0, 0xa1, 0xa2, 0xa3, 0xa4]]
            case "record":
                [
                    [0]
                        + Array(
                            """
                            storaged.reservations/1
                            unit 336132d69e465b57d
                            boot 6f1c2a9e
                            generation 12
                            aptpl 1
                            registration 0000000000000abc 9385 iqn.2026-01.net.example:client0,i,0x00023d000001
                            reservation 5 9385 iqn.2026-01.net.example:client0,i,0x00023d000001

                            """.utf8)
                ]
            default: [[0]]
            }
        for (number, bytes) in texts.enumerated() {
            let descriptor = unsafe open("\(folder)/seed-\(number)", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else { fatalError("\(folder): errno \(errno)") }
            guard unsafe Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
                fatalError("errno \(errno)")
            }
            close(descriptor)
        }
    }
}
