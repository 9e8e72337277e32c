import Testing

@testable import Supervisor
