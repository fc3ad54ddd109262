import TargetServer

/// A portal as the server takes it: literal address and port. Rack's type of the same name also takes host names.
typealias ServerPortal = PortalAddress
