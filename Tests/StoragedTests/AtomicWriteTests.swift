import Glibc
import Testing

/// WRITE ATOMIC: whole, or not at all, whatever ends the daemon in between.
extension StoragedTests {
    @Suite(.serialized) struct AtomicWriteTests {
        let scene = Scene()

        private static func writeAtomic(_ block: UInt8, _ blocks: UInt16) -> [UInt8] {
            [0x9c, 0, 0, 0, 0, 0, 0, 0, 0, block, 0, 0, UInt8(blocks >> 8), UInt8(blocks & 0xff), 0, 0]
        }

        private func contents(_ path: String) -> [UInt8] {
            let descriptor = unsafe open(path, O_RDONLY)
            defer { close(descriptor) }
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            let count = unsafe read(descriptor, &bytes, bytes.count)
            return Array(bytes.prefix(max(0, count)))
        }

        /// The journal of the only unit; its name ends with the WWID.
        private func journal() throws -> String {
            let folder = unsafe try #require(opendir(scene.path("state")))
            defer { unsafe closedir(folder) }
            while let entry = unsafe readdir(folder) {
                let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                    unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
                }
                if name.hasPrefix("atomic-") { return scene.path("state/\(name)") }
            }
            throw SceneError()
        }

        @Test func isWrittenAndLeavesTheJournalEmpty() throws {
            let export = try scene.exportingWithState(port: freePort())
            let session = try export.session()
            session.settle()
            let data = (0..<(128 * 512)).map { UInt8(truncatingIfNeeded: $0 / 7) }
            #expect(session.execute(Self.writeAtomic(8, 128), writing: data)?.status == 0)
            #expect(session.read(lba: 8, blocks: 128)?.data == data)
            // 256 KiB, and no more.
            let long = session.execute(Self.writeAtomic(8, 513), writing: [UInt8](repeating: 0, count: 512))
            #expect(long?.status == 2 && long?.additionalSense == 0x2400)
            #expect(session.read(lba: 8, blocks: 128)?.data == data)
            #expect(session.execute(Self.writeAtomic(0, 0))?.status == 0)
            #expect(try contents(journal()).first == 0)
            session.works()
            export.process.kill(SIGTERM)
        }

        /// A journal as a daemon leaves it that is killed after it has begun.
        private func entry(unit: String, offset: Int, _ data: [UInt8]) -> [UInt8] {
            func digits(_ bytes: [UInt8]) -> String {
                crc32c(bytes).reversed().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            }
            var bytes = Array(
                "storaged.atomic/1\nunit \(unit)\noffset \(offset)\nlength \(data.count)\ndata \(digits(data))\n".utf8)
            bytes += Array("crc32c \(digits(bytes))\n".utf8)
            return bytes + [UInt8](repeating: 0, count: 4096 - bytes.count) + data
        }

        private func put(_ bytes: [UInt8], _ path: String) {
            let descriptor = unsafe open(path, O_WRONLY)
            defer { close(descriptor) }
            #expect(unsafe write(descriptor, bytes, bytes.count) == bytes.count)
        }

        @Test func whatWasHalfDoneIsFinishedByTheNextStart() throws {
            let port = freePort()
            var served = try scene.exportingWithState(port: port)
            served.process.kill(SIGKILL)
            let journal = try journal()
            let unit = String(journal.split(separator: "-").last ?? "")
            let data = [UInt8](repeating: 0x5a, count: 8192)
            put(entry(unit: unit, offset: 4096, data), journal)
            served = try scene.exportingWithState(port: port)
            #expect(served.process.errors.contains("a WRITE ATOMIC of 8192 bytes was finished"))
            var session = try served.session()
            session.settle()
            #expect(session.read(lba: 8, blocks: 16)?.data == data)
            #expect(session.read(lba: 0, blocks: 8)?.data == [UInt8](repeating: 0, count: 4096))
            #expect(contents(journal).first == 0)
            // What was written since is not overwritten by another start.
            #expect(session.write(lba: 8, [UInt8](repeating: 1, count: 512))?.status == 0)
            served.process.kill(SIGKILL)
            served = try scene.exportingWithState(port: port)
            session = try served.session()
            session.settle()
            #expect(session.read(lba: 8, blocks: 1)?.data == [UInt8](repeating: 1, count: 512))
            served.process.kill(SIGKILL)
            // A journal that is not whole: nothing of the write had reached the store, and nothing does.
            var torn = entry(unit: unit, offset: 4096, data)
            torn[torn.count - 1] ^= 1
            put(torn, journal)
            served = try scene.exportingWithState(port: port)
            session = try served.session()
            session.settle()
            #expect(session.read(lba: 8, blocks: 1)?.data == [UInt8](repeating: 1, count: 512))
            served.process.kill(SIGTERM)
        }

        @Test func aJournalOfAnotherUnitStopsTheStart() throws {
            let port = freePort()
            let served = try scene.exportingWithState(port: port)
            served.process.kill(SIGTERM)
            try put(entry(unit: "3000000000000dead", offset: 0, [1, 2, 3, 4]), journal())
            let again = scene.storaged([
                "export", scene.path("a.img"), "--portal", "127.0.0.1:\(port)", "--state-directory",
                scene.path("state"),
            ])
            #expect(again.waitForEnd(seconds: 20) == 1)
            #expect(again.errors.contains("is of unit 3000000000000dead"), "\(again.errors)")
        }
    }
}
