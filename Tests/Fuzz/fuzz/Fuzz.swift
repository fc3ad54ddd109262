import Glibc

/// Runs one fuzz target under libFuzzer: `fuzz --target=NAME [libFuzzer's options] [corpus folder | input file]...`.
/// `fuzz --list` names the targets, `fuzz --seed=NAME FOLDER` writes the inputs that a corpus begins with.
///
/// The name is an option that libFuzzer passes over and hands on to processes it starts itself.
enum Fuzz {
    private static let targets: [(name: String, body: @Sendable (inout Input) -> Void)] = [
        ("pdu", PDUTarget.run),
        ("login", LoginTarget.run),
        ("command", CommandTarget.run),
        ("reservation", ReservationTarget.run),
        ("copy", CopyTarget.run),
        ("rack", RackTarget.run),
        ("record", RecordTarget.run),
        ("connection", ConnectionTarget.run),
    ]

    /// The target that this process runs. Set once, before the first input.
    nonisolated(unsafe) private static var chosen: (inout Input) -> Void = { _ in }

    private static func value(of option: String) -> String? {
        for argument in CommandLine.arguments.dropFirst() where argument.hasPrefix("--\(option)=") {
            return String(argument.dropFirst(option.count + 3))
        }
        return nil
    }

    /// Looks for the options that are not libFuzzer's.
    static func initialize() {
        if CommandLine.arguments.contains("--list") {
            for target in targets { print(target.name) }
            exit(0)
        }
        if let name = value(of: "seed"), let folder = CommandLine.arguments.last {
            Seeds.write(name, to: folder)
            exit(0)
        }
        guard let name = value(of: "target"), let target = targets.first(where: { $0.name == name }) else {
            fatalError("usage: fuzz --target=NAME ..., where NAME is one of \(targets.map(\.name))")
        }
        unsafe chosen = target.body
    }

    static func run(_ bytes: UnsafeRawBufferPointer) {
        var input = unsafe Input(bytes)
        unsafe chosen(&input)
    }
}

// What libFuzzer, which has the main function, calls (https://llvm.org/docs/LibFuzzer.html).

/// Once, before anything else.
@_cdecl("LLVMFuzzerInitialize")
func initialize(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>
) -> CInt {
    Fuzz.initialize()
    return 0
}

/// For every input.
@_cdecl("LLVMFuzzerTestOneInput")
func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    unsafe Fuzz.run(UnsafeRawBufferPointer(start: data, count: size))
    return 0
}
