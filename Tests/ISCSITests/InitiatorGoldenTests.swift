import ISCSI
import Testing

// Bytes typed from the tables of RFC 7143 section 11, one line a field: what is built must give them, and what is read
// from them must be what was built.

@Suite("Golden bytes: PDUs of initiators")
struct InitiatorGoldenTests {
    @Test("NOP-Out, section 11.18")
    func nopOut() {
        let golden = hex(
            """
            40                       # I, opcode 00
            80                       # F
            00 00                    # reserved
            00                       # TotalAHSLength
            00 00 10                 # DataSegmentLength
            00 05 00 00 00 00 00 00  # LUN 5
            11 22 33 44              # Initiator Task Tag
            ff ff ff ff              # Target Transfer Tag: reserved
            00 00 01 02              # CmdSN
            00 00 03 04              # ExpStatSN
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 # reserved
            """)
        #expect(golden.count == 48)
        let built = NOPOut(
            initiatorTaskTag: InitiatorTaskTag(0x1122_3344), lun: LogicalUnitNumber(index: 5)!,
            cmdSN: SerialNumber(0x0102), expStatSN: SerialNumber(0x0304), dataSegmentLength: 16)
        #expect(built.header.bytes == golden)
        let read = NOPOut(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.isImmediate)
        #expect(read.lun.index == 5)
        #expect(read.targetTransferTag.isReserved)
        #expect(read.dataSegmentLength == 16)
        #expect(read.cmdSN == SerialNumber(0x0102))
        #expect(read.expStatSN == SerialNumber(0x0304))
    }

    @Test("SCSI Command, section 11.3: WRITE(10) of 8 blocks at 0x12345678 with immediate data")
    func scsiCommand() {
        let golden = hex(
            """
            01                       # opcode 01
            a1                       # F, W, ATTR SIMPLE
            00 00                    # reserved
            00                       # TotalAHSLength
            00 10 00                 # DataSegmentLength
            00 05 00 00 00 00 00 00  # LUN 5
            11 22 33 44              # Initiator Task Tag
            00 00 10 00              # Expected Data Transfer Length
            00 00 01 02              # CmdSN
            00 00 03 04              # ExpStatSN
            2a 00 12 34 56 78 00 00 08 00 00 00 00 00 00 00  # CDB
            """)
        #expect(golden.count == 48)
        let built = SCSICommand(
            initiatorTaskTag: InitiatorTaskTag(0x1122_3344), lun: LogicalUnitNumber(index: 5)!,
            cdb: [0x2a, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0], writes: true,
            expectedDataTransferLength: 4096, cmdSN: SerialNumber(0x0102), expStatSN: SerialNumber(0x0304),
            dataSegmentLength: 4096)
        #expect(built.header.bytes == golden)
        let read = SCSICommand(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.writes)
        #expect(!read.reads)
        #expect(read.attribute == .simple)
        #expect(read.expectedDataTransferLength == 4096)
        #expect(read.cdb[0] == 0x2a)
        #expect(read.cdb[8] == 8)
        #expect(!read.isImmediate)
        #expect(read.isFinal)
    }

    @Test("Task Management Function Request, section 11.5: ABORT TASK")
    func taskManagementRequest() {
        let golden = hex(
            """
            42                       # I, opcode 02
            81                       # F, function ABORT TASK
            00 00                    # reserved
            00                       # TotalAHSLength
            00 00 00                 # DataSegmentLength
            00 05 00 00 00 00 00 00  # LUN 5
            11 22 33 44              # Initiator Task Tag
            00 00 00 99              # Referenced Task Tag
            00 00 01 02              # CmdSN
            00 00 03 04              # ExpStatSN
            00 00 01 01              # RefCmdSN
            00 00 00 00              # ExpDataSN
            00 00 00 00 00 00 00 00  # reserved
            """)
        #expect(golden.count == 48)
        let built = TaskManagementRequest(
            function: .abortTask, initiatorTaskTag: InitiatorTaskTag(0x1122_3344),
            lun: LogicalUnitNumber(index: 5)!, referencedTaskTag: InitiatorTaskTag(0x99),
            refCmdSN: SerialNumber(0x0101), cmdSN: SerialNumber(0x0102), expStatSN: SerialNumber(0x0304))
        #expect(built.header.bytes == golden)
        let read = TaskManagementRequest(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.function == .abortTask)
        #expect(read.referencedTaskTag.rawValue == 0x99)
        #expect(read.refCmdSN.rawValue == 0x0101)
        #expect(read.lun.index == 5)
    }

    @Test("Login Request, section 11.12: as open-iscsi leaves the operational stage")
    func loginRequest() {
        let golden = hex(
            """
            43                       # I, opcode 03
            87                       # T, CSG operational, NSG full feature
            00                       # Version-max
            00                       # Version-min
            00                       # TotalAHSLength
            00 01 8b                 # DataSegmentLength
            00 02 3d 01 00 00        # ISID
            00 00                    # TSIH
            11 22 33 44              # Initiator Task Tag
            00 07                    # CID
            00 00                    # reserved
            00 00 01 02              # CmdSN
            00 00 03 04              # ExpStatSN
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 # reserved
            """)
        #expect(golden.count == 48)
        let built = LoginRequest(
            initiatorTaskTag: InitiatorTaskTag(0x1122_3344), isid: ISID(rawValue: 0x0002_3d01_0000), cid: 7,
            currentStage: .operationalNegotiation, nextStage: .fullFeaturePhase, cmdSN: SerialNumber(0x0102),
            expStatSN: SerialNumber(0x0304), dataSegmentLength: 395)
        #expect(built.header.bytes == golden)
        let read = LoginRequest(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.transits)
        #expect(!read.continues)
        #expect(read.currentStage == .operationalNegotiation)
        #expect(read.nextStage == .fullFeaturePhase)
        #expect(read.cid == 7)
        #expect(read.tsih == 0)
        #expect(read.isid.description == "00023d010000")
        #expect(read.isImmediate)
    }

    @Test("Text Request, section 11.10")
    func textRequest() {
        let golden = hex(
            """
            04                       # opcode 04
            40                       # C
            00 00                    # reserved
            00                       # TotalAHSLength
            00 00 10                 # DataSegmentLength
            00 05 00 00 00 00 00 00  # LUN 5
            11 22 33 44              # Initiator Task Tag
            55 66 77 88              # Target Transfer Tag
            00 00 01 02              # CmdSN
            00 00 03 04              # ExpStatSN
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 # reserved
            """)
        #expect(golden.count == 48)
        let built = TextRequest(
            initiatorTaskTag: InitiatorTaskTag(0x1122_3344), targetTransferTag: TargetTransferTag(0x5566_7788),
            lun: LogicalUnitNumber(index: 5)!, final: false, continues: true, cmdSN: SerialNumber(0x0102),
            expStatSN: SerialNumber(0x0304), dataSegmentLength: 16)
        #expect(built.header.bytes == golden)
        let read = TextRequest(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.continues)
        #expect(!read.isFinal)
        #expect(read.targetTransferTag.rawValue == 0x5566_7788)
    }

    @Test("SCSI Data-Out, section 11.7")
    func scsiDataOut() {
        let golden = hex(
            """
            05                       # opcode 05
            80                       # F
            00 00                    # reserved
            00                       # TotalAHSLength
            00 20 00                 # DataSegmentLength
            00 05 00 00 00 00 00 00  # LUN 5
            11 22 33 44              # Initiator Task Tag
            55 66 77 88              # Target Transfer Tag
            00 00 00 00              # reserved
            00 00 03 04              # ExpStatSN
            00 00 00 00              # reserved
            00 00 00 03              # DataSN
            00 01 00 00              # Buffer Offset
            00 00 00 00              # reserved
            """)
        #expect(golden.count == 48)
        let built = SCSIDataOut(
            initiatorTaskTag: InitiatorTaskTag(0x1122_3344), targetTransferTag: TargetTransferTag(0x5566_7788),
            lun: LogicalUnitNumber(index: 5)!, dataSN: 3, bufferOffset: 65536, final: true,
            expStatSN: SerialNumber(0x0304), dataSegmentLength: 8192)
        #expect(built.header.bytes == golden)
        let read = SCSIDataOut(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.dataSN == 3)
        #expect(read.bufferOffset == 65536)
        #expect(read.expStatSN.rawValue == 0x0304)
        #expect(read.isFinal)
    }

    @Test("Logout Request, section 11.14: close the session")
    func logoutRequest() {
        let golden = hex(
            """
            46                       # I, opcode 06
            80                       # F, reason close session
            00 00                    # reserved
            00                       # TotalAHSLength
            00 00 00                 # DataSegmentLength
            00 00 00 00 00 00 00 00  # reserved
            11 22 33 44              # Initiator Task Tag
            00 07                    # CID
            00 00                    # reserved
            00 00 01 02              # CmdSN
            00 00 03 04              # ExpStatSN
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 # reserved
            """)
        #expect(golden.count == 48)
        let built = LogoutRequest(
            reason: .closeSession, cid: 7, initiatorTaskTag: InitiatorTaskTag(0x1122_3344),
            cmdSN: SerialNumber(0x0102), expStatSN: SerialNumber(0x0304))
        #expect(built.header.bytes == golden)
        let read = LogoutRequest(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.reason == .closeSession)
        #expect(read.cid == 7)
    }

    @Test("SNACK Request, section 11.16: status")
    func snackRequest() {
        let golden = hex(
            """
            10                       # opcode 10
            81                       # F, type Status
            00 00                    # reserved
            00                       # TotalAHSLength
            00 00 00                 # DataSegmentLength
            00 05 00 00 00 00 00 00  # LUN 5
            11 22 33 44              # Initiator Task Tag
            ff ff ff ff              # Target Transfer Tag: reserved
            00 00 00 00              # reserved
            00 00 03 04              # ExpStatSN
            00 00 00 00 00 00 00 00  # reserved
            00 00 00 0a              # BegRun
            00 00 00 02              # RunLength
            """)
        #expect(golden.count == 48)
        let built = SNACKRequest(
            type: .status, initiatorTaskTag: InitiatorTaskTag(0x1122_3344), lun: LogicalUnitNumber(index: 5)!,
            expStatSN: SerialNumber(0x0304), begRun: 10, runLength: 2)
        #expect(built.header.bytes == golden)
        let read = SNACKRequest(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.type == .status)
        #expect(read.begRun == 10)
        #expect(read.runLength == 2)
    }
}
