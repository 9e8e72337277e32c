import Foundation

/// What is in k8s/, which users copy.
enum Manifest {
  /// The command of the only container in a file, and its variables, each $(NAME) in place of which the kubelet puts a
  /// variable's value filled in. What comes from the pod is called by its name there.
  static func container(of name: String) throws -> (words: [String], environment: [String: String]) {
    let program = """
      import json, re, sys, yaml
      for document in yaml.safe_load_all(open(sys.argv[1])):
          spec = document["spec"].get("jobTemplate", document)["spec"]
          container, values = spec["template"]["spec"]["containers"][0], {}
          fill = lambda text: re.sub(r"\\$\\((\\w+)\\)", lambda found: values[found[1]], text)
          for variable in container["env"]: values[variable["name"]] = fill(variable.get("value", variable["name"].lower()))
          words = container["command"] + container.get("args", [])
          print(json.dumps({"words": [fill(word) for word in words], "environment": values}))
      """
    let python = try Running(["python3", "-c", program, "\(Binary.packageRoot)/k8s/\(name).yaml"])
    guard try python.finish() == .code(0) else { throw Unusable("\(name): \(python.errors.text)") }
    struct Container: Decodable {
      var words: [String]
      var environment: [String: String]
    }
    let container = try JSONDecoder().decode(Container.self, from: Data(python.output.raw))
    return (container.words, container.environment)
  }
}
