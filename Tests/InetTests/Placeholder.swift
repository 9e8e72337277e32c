import Testing

@testable import Inet
