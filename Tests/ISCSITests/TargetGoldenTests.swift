import ISCSI
import Testing

// Bytes typed from the tables of RFC 7143 section 11, one line a field: what is built must give them, and what is read
// from them must be what was built.

@Suite("Golden bytes: PDUs of targets")
struct TargetGoldenTests {
    @Test("NOP-In, section 11.19: the target's own ping")
    func nopIn() {
        let golden = hex(
            """
            20                       # opcode 20
            80                       # F
            00 00                    # reserved
            00                       # TotalAHSLength
            00 00 00                 # DataSegmentLength
            00 05 00 00 00 00 00 00  # LUN 5
            ff ff ff ff              # Initiator Task Tag: reserved
            55 66 77 88              # Target Transfer Tag
            00 00 03 04              # StatSN
            00 00 01 02              # ExpCmdSN
            00 00 01 21              # MaxCmdSN
            00 00 00 00 00 00 00 00 00 00 00 00 # reserved
            """)
        #expect(golden.count == 48)
        let built = NOPIn(
            targetTransferTag: TargetTransferTag(0x5566_7788), lun: LogicalUnitNumber(index: 5)!,
            sequence: TargetSequence(
                statSN: SerialNumber(0x0304), expCmdSN: SerialNumber(0x0102), maxCmdSN: SerialNumber(0x0121)))
        #expect(built.header.bytes == golden)
        let read = NOPIn(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.initiatorTaskTag.isReserved)
        #expect(read.lun.index == 5)
        #expect(read.statSN.rawValue == 0x0304)
        #expect(read.maxCmdSN.rawValue == 0x0121)
    }

    @Test("SCSI Response, section 11.4: CHECK CONDITION with 18 bytes of sense, 512 bytes too few")
    func scsiResponse() {
        let golden = hex(
            """
            21                       # opcode 21
            82                       # F, U
            00                       # Response: command completed at target
            02                       # Status: CHECK CONDITION
            00                       # TotalAHSLength
            00 00 14                 # DataSegmentLength
            00 00 00 00 00 00 00 00  # reserved
            11 22 33 44              # Initiator Task Tag
            00 00 00 00              # SNACK Tag
            00 00 03 04              # StatSN
            00 00 01 02              # ExpCmdSN
            00 00 01 21              # MaxCmdSN
            00 00 00 04              # ExpDataSN
            00 00 00 00              # Bidirectional Read Residual Count
            00 00 02 00              # Residual Count
            """)
        #expect(golden.count == 48)
        let built = SCSIResponse(
            initiatorTaskTag: InitiatorTaskTag(0x1122_3344), status: 2, residual: .underflow(512), expDataSN: 4,
            sequence: TargetSequence(
                statSN: SerialNumber(0x0304), expCmdSN: SerialNumber(0x0102), maxCmdSN: SerialNumber(0x0121)),
            dataSegmentLength: 20)
        #expect(built.header.bytes == golden)
        let read = SCSIResponse(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.status == 2)
        #expect(read.response == .completedAtTarget)
        #expect(read.residual == .underflow(512))
        #expect(read.expDataSN == 4)
        #expect(read.residualUnderflow)
        #expect(!read.residualOverflow)
    }

    @Test("Task Management Function Response, section 11.6: LUN does not exist")
    func taskManagementResponse() {
        let golden = hex(
            """
            22                       # opcode 22
            80                       # F
            02                       # Response: LUN does not exist
            00                       # reserved
            00                       # TotalAHSLength
            00 00 00                 # DataSegmentLength
            00 00 00 00 00 00 00 00  # reserved
            11 22 33 44              # Initiator Task Tag
            00 00 00 00              # reserved
            00 00 03 04              # StatSN
            00 00 01 02              # ExpCmdSN
            00 00 01 21              # MaxCmdSN
            00 00 00 00 00 00 00 00 00 00 00 00 # reserved
            """)
        #expect(golden.count == 48)
        let built = TaskManagementResponse(
            initiatorTaskTag: InitiatorTaskTag(0x1122_3344), result: .logicalUnitDoesNotExist,
            sequence: TargetSequence(
                statSN: SerialNumber(0x0304), expCmdSN: SerialNumber(0x0102), maxCmdSN: SerialNumber(0x0121)))
        #expect(built.header.bytes == golden)
        let read = TaskManagementResponse(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.result == .logicalUnitDoesNotExist)
    }

    @Test("Login Response, section 11.13: the final one")
    func loginResponse() {
        let golden = hex(
            """
            23                       # opcode 23
            87                       # T, CSG operational, NSG full feature
            00                       # Version-max
            00                       # Version-active
            00                       # TotalAHSLength
            00 00 50                 # DataSegmentLength
            00 02 3d 01 00 00        # ISID
            00 2a                    # TSIH
            11 22 33 44              # Initiator Task Tag
            00 00 00 00              # reserved
            00 00 03 04              # StatSN
            00 00 01 02              # ExpCmdSN
            00 00 01 21              # MaxCmdSN
            00                       # Status-Class
            00                       # Status-Detail
            00 00 00 00 00 00 00 00 00 00 # reserved
            """)
        #expect(golden.count == 48)
        let built = LoginResponse(
            initiatorTaskTag: InitiatorTaskTag(0x1122_3344), isid: ISID(rawValue: 0x0002_3d01_0000), tsih: 42,
            currentStage: .operationalNegotiation, nextStage: .fullFeaturePhase,
            sequence: TargetSequence(
                statSN: SerialNumber(0x0304), expCmdSN: SerialNumber(0x0102), maxCmdSN: SerialNumber(0x0121)),
            dataSegmentLength: 80)
        #expect(built.header.bytes == golden)
        let read = LoginResponse(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.tsih == 42)
        #expect(read.status == .success)
        #expect(read.transits)
        #expect(read.nextStage == .fullFeaturePhase)
    }

    @Test("Login Response, section 11.13: authentication failure")
    func loginRefusal() {
        let golden = hex(
            """
            23                       # opcode 23
            00                       # CSG security
            00                       # Version-max
            00                       # Version-active
            00                       # TotalAHSLength
            00 00 00                 # DataSegmentLength
            00 02 3d 01 00 00        # ISID
            00 00                    # TSIH
            11 22 33 44              # Initiator Task Tag
            00 00 00 00              # reserved
            00 00 03 04              # StatSN
            00 00 01 02              # ExpCmdSN
            00 00 01 21              # MaxCmdSN
            02                       # Status-Class: initiator error
            01                       # Status-Detail: authentication failure
            00 00 00 00 00 00 00 00 00 00 # reserved
            """)
        #expect(golden.count == 48)
        let built = LoginResponse(
            initiatorTaskTag: InitiatorTaskTag(0x1122_3344), isid: ISID(rawValue: 0x0002_3d01_0000),
            currentStage: .securityNegotiation, nextStage: nil, status: .authenticationFailure,
            sequence: TargetSequence(
                statSN: SerialNumber(0x0304), expCmdSN: SerialNumber(0x0102), maxCmdSN: SerialNumber(0x0121)))
        #expect(built.header.bytes == golden)
        let read = LoginResponse(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.status == .authenticationFailure)
        #expect(read.status.statusClass == 2)
        #expect(read.status.statusDetail == 1)
        #expect(!read.transits)
    }

    @Test("Text Response, section 11.11")
    func textResponse() {
        let golden = hex(
            """
            24                       # opcode 24
            40                       # C
            00 00                    # reserved
            00                       # TotalAHSLength
            00 20 00                 # DataSegmentLength
            00 05 00 00 00 00 00 00  # LUN 5
            11 22 33 44              # Initiator Task Tag
            55 66 77 88              # Target Transfer Tag
            00 00 03 04              # StatSN
            00 00 01 02              # ExpCmdSN
            00 00 01 21              # MaxCmdSN
            00 00 00 00 00 00 00 00 00 00 00 00 # reserved
            """)
        #expect(golden.count == 48)
        let built = TextResponse(
            initiatorTaskTag: InitiatorTaskTag(0x1122_3344), targetTransferTag: TargetTransferTag(0x5566_7788),
            lun: LogicalUnitNumber(index: 5)!, final: false, continues: true,
            sequence: TargetSequence(
                statSN: SerialNumber(0x0304), expCmdSN: SerialNumber(0x0102), maxCmdSN: SerialNumber(0x0121)),
            dataSegmentLength: 8192)
        #expect(built.header.bytes == golden)
        let read = TextResponse(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.continues)
        #expect(!read.isFinal)
        #expect(read.targetTransferTag.rawValue == 0x5566_7788)
    }

    @Test("SCSI Data-In, section 11.7: data without status")
    func scsiDataIn() {
        let golden = hex(
            """
            25                       # opcode 25
            00                       # neither F nor S
            00                       # reserved
            00                       # Status
            00                       # TotalAHSLength
            00 20 00                 # DataSegmentLength
            00 00 00 00 00 00 00 00  # LUN
            11 22 33 44              # Initiator Task Tag
            ff ff ff ff              # Target Transfer Tag: reserved
            00 00 00 00              # StatSN: reserved without S
            00 00 01 02              # ExpCmdSN
            00 00 01 21              # MaxCmdSN
            00 00 00 01              # DataSN
            00 00 20 00              # Buffer Offset
            00 00 00 00              # Residual Count
            """)
        #expect(golden.count == 48)
        let built = SCSIDataIn(
            initiatorTaskTag: InitiatorTaskTag(0x1122_3344), dataSN: 1, bufferOffset: 8192, final: false,
            sequence: TargetSequence(
                statSN: SerialNumber(0x0304), expCmdSN: SerialNumber(0x0102), maxCmdSN: SerialNumber(0x0121)),
            dataSegmentLength: 8192)
        #expect(built.header.bytes == golden)
        let read = SCSIDataIn(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(!read.hasStatus)
        #expect(!read.isFinal)
        #expect(read.dataSN == 1)
        #expect(read.bufferOffset == 8192)
    }

    @Test("SCSI Data-In, section 11.7: the last one, with status and 4,096 bytes too many")
    func scsiDataInWithStatus() {
        let golden = hex(
            """
            25                       # opcode 25
            85                       # F, O, S
            00                       # reserved
            00                       # Status: GOOD
            00                       # TotalAHSLength
            00 20 00                 # DataSegmentLength
            00 00 00 00 00 00 00 00  # LUN
            11 22 33 44              # Initiator Task Tag
            ff ff ff ff              # Target Transfer Tag: reserved
            00 00 03 04              # StatSN
            00 00 01 02              # ExpCmdSN
            00 00 01 21              # MaxCmdSN
            00 00 00 02              # DataSN
            00 00 40 00              # Buffer Offset
            00 00 10 00              # Residual Count
            """)
        #expect(golden.count == 48)
        let built = SCSIDataIn(
            initiatorTaskTag: InitiatorTaskTag(0x1122_3344), dataSN: 2, bufferOffset: 16384, status: 0,
            residual: .overflow(4096),
            sequence: TargetSequence(
                statSN: SerialNumber(0x0304), expCmdSN: SerialNumber(0x0102), maxCmdSN: SerialNumber(0x0121)),
            dataSegmentLength: 8192)
        #expect(built.header.bytes == golden)
        let read = SCSIDataIn(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.hasStatus)
        #expect(read.isFinal)
        #expect(read.residual == .overflow(4096))
        #expect(read.status == 0)
    }

    @Test("Logout Response, section 11.15")
    func logoutResponse() {
        let golden = hex(
            """
            26                       # opcode 26
            80                       # F
            00                       # Response: closed
            00                       # reserved
            00                       # TotalAHSLength
            00 00 00                 # DataSegmentLength
            00 00 00 00 00 00 00 00  # reserved
            11 22 33 44              # Initiator Task Tag
            00 00 00 00              # reserved
            00 00 03 04              # StatSN
            00 00 01 02              # ExpCmdSN
            00 00 01 21              # MaxCmdSN
            00 00 00 00              # reserved
            00 02                    # Time2Wait
            00 14                    # Time2Retain
            00 00 00 00              # reserved
            """)
        #expect(golden.count == 48)
        let built = LogoutResponse(
            initiatorTaskTag: InitiatorTaskTag(0x1122_3344), result: .success, time2Wait: 2, time2Retain: 20,
            sequence: TargetSequence(
                statSN: SerialNumber(0x0304), expCmdSN: SerialNumber(0x0102), maxCmdSN: SerialNumber(0x0121)))
        #expect(built.header.bytes == golden)
        let read = LogoutResponse(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.result == .success)
        #expect(read.time2Wait == 2)
        #expect(read.time2Retain == 20)
    }

    @Test("R2T, section 11.8")
    func r2t() {
        let golden = hex(
            """
            31                       # opcode 31
            80                       # F
            00 00                    # reserved
            00                       # TotalAHSLength
            00 00 00                 # DataSegmentLength
            00 05 00 00 00 00 00 00  # LUN 5
            11 22 33 44              # Initiator Task Tag
            55 66 77 88              # Target Transfer Tag
            00 00 03 04              # StatSN
            00 00 01 02              # ExpCmdSN
            00 00 01 21              # MaxCmdSN
            00 00 00 01              # R2TSN
            00 01 00 00              # Buffer Offset
            00 04 00 00              # Desired Data Transfer Length
            """)
        #expect(golden.count == 48)
        let built = R2T(
            initiatorTaskTag: InitiatorTaskTag(0x1122_3344), targetTransferTag: TargetTransferTag(0x5566_7788),
            lun: LogicalUnitNumber(index: 5)!, r2tSN: 1, bufferOffset: 65536, desiredDataTransferLength: 262144,
            sequence: TargetSequence(
                statSN: SerialNumber(0x0304), expCmdSN: SerialNumber(0x0102), maxCmdSN: SerialNumber(0x0121)))
        #expect(built.header.bytes == golden)
        let read = R2T(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.r2tSN == 1)
        #expect(read.bufferOffset == 65536)
        #expect(read.desiredDataTransferLength == 262144)
    }

    @Test("Asynchronous Message, section 11.9: the target requests logout")
    func asyncMessage() {
        let golden = hex(
            """
            32                       # opcode 32
            80                       # F
            00 00                    # reserved
            00                       # TotalAHSLength
            00 00 00                 # DataSegmentLength
            00 00 00 00 00 00 00 00  # LUN
            ff ff ff ff              # Initiator Task Tag: reserved
            00 00 00 00              # reserved
            00 00 03 04              # StatSN
            00 00 01 02              # ExpCmdSN
            00 00 01 21              # MaxCmdSN
            01                       # AsyncEvent: target requests logout
            00                       # AsyncVCode
            00 00                    # Parameter1
            00 00                    # Parameter2
            00 0a                    # Parameter3: 10 seconds
            00 00 00 00              # reserved
            """)
        #expect(golden.count == 48)
        let built = AsyncMessage(
            event: .logoutRequest, parameter3: 10,
            sequence: TargetSequence(
                statSN: SerialNumber(0x0304), expCmdSN: SerialNumber(0x0102), maxCmdSN: SerialNumber(0x0121)))
        #expect(built.header.bytes == golden)
        let read = AsyncMessage(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.event == .logoutRequest)
        #expect(read.parameter3 == 10)
        #expect(read.initiatorTaskTag.isReserved)
    }

    @Test("Reject, section 11.17: invalid PDU field")
    func reject() {
        let golden = hex(
            """
            3f                       # opcode 3f
            80                       # F
            09                       # Reason: invalid PDU field
            00                       # reserved
            00                       # TotalAHSLength
            00 00 30                 # DataSegmentLength
            00 00 00 00 00 00 00 00  # reserved
            ff ff ff ff              # Initiator Task Tag: reserved
            00 00 00 00              # reserved
            00 00 03 04              # StatSN
            00 00 01 02              # ExpCmdSN
            00 00 01 21              # MaxCmdSN
            00 00 00 00              # DataSN/R2TSN
            00 00 00 00 00 00 00 00  # reserved
            """)
        #expect(golden.count == 48)
        let built = Reject(
            reason: .invalidPDUField,
            sequence: TargetSequence(
                statSN: SerialNumber(0x0304), expCmdSN: SerialNumber(0x0102), maxCmdSN: SerialNumber(0x0121)))
        #expect(built.header.bytes == golden)
        let read = Reject(checking: BasicHeaderSegment(golden: golden))!
        #expect(read == built)
        #expect(read.reason == .invalidPDUField)
        #expect(read.dataSegmentLength == 48)
    }
}
