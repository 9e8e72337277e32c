import CLinux
import Linux
@c(tide_main) public func main(_ argc: Int32, _ argv: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>)
  -> Int32
{
  let text: Text = "x \(argc) \(Duration.seconds(3)) \(Signal.terminate)\n"
  try? text.write(to: .standardError)
  return 0
}
