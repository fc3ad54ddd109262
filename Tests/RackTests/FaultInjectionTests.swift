import Rack
import Testing

/// Fault injection is off unless the file says otherwise.
@Test func faultsAreAllowedByTheFileOnly() throws {
    #expect(Inventory.load(text: goodText, fileName: "rack.yaml").inventory?.allowsFaultInjection == false)
    for (word, allowed) in [("true", true), ("yes", true), ("false", false), ("off", false)] {
        let load = Inventory.load(text: goodText + "faultInjection: \(word)\n", fileName: "rack.yaml")
        #expect(load.inventory?.allowsFaultInjection == allowed, "\(word): \(load.report)")
    }
}

@Test func neitherIsAWordThatMeansNothing() {
    let load = Inventory.load(text: goodText + "faultInjection: sometimes\n", fileName: "rack.yaml")
    #expect(load.inventory == nil)
    #expect(load.report.contains("faultInjection is \"sometimes\"; write true or false"), "\(load.report)")
}

@Test func theSoftThresholdIsAPercentage() {
    let good = Inventory.load(text: goodText + "limits: {thinThresholdPercent: 25}\n", fileName: "rack.yaml")
    #expect(good.inventory?.limits.thinThresholdPercent == 25)
    let bad = Inventory.load(text: goodText + "limits: {thinThresholdPercent: 100}\n", fileName: "rack.yaml")
    #expect(bad.inventory == nil)
    #expect(bad.report.contains("thinThresholdPercent"), "\(bad.report)")
}

@Test func abortSecondsAreBounded() {
    let good = Inventory.load(text: goodText + "limits: {abortSeconds: 20}\n", fileName: "rack.yaml")
    #expect(good.inventory?.limits.abortSeconds == 20)
    let bad = Inventory.load(text: goodText + "limits: {abortSeconds: 0}\n", fileName: "rack.yaml")
    #expect(bad.inventory == nil)
    #expect(bad.report.contains("abortSeconds"), "\(bad.report)")
}
