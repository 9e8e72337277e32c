import Foundation
import Testing

/// Workers that people run, told to stop in the middle of a job: that one is finished, and no other begun.
@Suite(.serialized)
struct JobTests {
  private let stage: ServerStage

  init() throws {
    stage = try ServerStage()
  }

  /// How a worker's jobs are queued.
  private struct Queue {
    /// A command that queues a job of so many seconds, which prints "begin NAME" and "end NAME".
    var add: (_ name: String, _ seconds: Int) -> [String]
    /// The list of Redis in which waiting jobs are.
    var list: String
  }

  private func run(_ words: [String], environment: [String: String] = [:]) throws -> String {
    let run = try Running(words, environment: environment, entering: stage.network.entry)
    guard try run.finish() == .code(0) else { throw Unusable("\(words): \(run.errors.text)") }
    return run.output.text
  }

  /// Starts a worker under ebb as in Kubernetes, and stops it in the middle of its first job, of 6 s.
  private func stopInTheMiddle(
    _ words: [String], environment: [String: String], queue: Queue
  ) throws {
    try stage.start(["redis-server", "--save", "", "--dir", stage.path], listeningOn: 6379)
    let worker = try Running(
      words, environment: environment.merging(["KUBERNETES_SERVICE_HOST": "10.0.0.1"]) { $1 },
      entering: stage.network.entry)
    _ = try run(queue.add("first", 6), environment: environment)
    try wait(until: "the first job has begun") { (worker.output.text + worker.errors.text).contains("first") }
    try worker.signal(SIGTERM)
    // While it drains, and when it is told to stop.
    for line in ["draining: SIGTERM", "stopping: SIGTERM to pid"] {
      try worker.waitForLine(containing: line, on: .errors)
      _ = try run(queue.add("other", 0), environment: environment)
    }
    #expect(try worker.finish() == .code(0), "\(worker.errors.text)")
    let told = worker.output.text + worker.errors.text
    #expect(told.contains("finished first"), "\(told)")
    #expect(!told.contains("begun other"), "\(told)")
    #expect(try run(["redis-cli", "llen", queue.list]) == "2\n", "\(told)")
  }

  private func ebb(_ words: [String]) throws -> [String] {
    [try Binary.ebb.path(), "--verbose", "--ready-when", "alive", "--"] + words
  }

  /// As k8s/worker.yaml has it, but for where Redis is. Without its --on-drain Celery can lose what is queued in the second
  /// after TERM.
  @Test(.requires(.root, .namespaces, .tool("celery"), .tool("redis-server"), .pythonModule("yaml")))
  func `Celery finishes its job and takes no other`() throws {
    try stage.folder.write(
      "tasks.py",
      """
      import celery, time
      app = celery.Celery("tasks")
      @app.task
      def work(name, seconds):
          print(f"begun {name}", flush=True); time.sleep(seconds); print(f"finished {name}", flush=True)

      """)
    var (words, environment) = try Manifest.container(of: "worker")
    words[0] = try Binary.ebb.path()
    environment["CELERY_BROKER_URL"] = "redis://127.0.0.1:6379/0"
    environment["PYTHONPATH"] = stage.path
    environment["EBB_VERBOSE"] = "1"
    let queue = Queue(
      add: { ["celery", "--app", "tasks", "call", "tasks.work", "--args", "[\"\($0)\", \($1)]"] },
      list: "celery")
    try stopInTheMiddle(words, environment: environment, queue: queue)
  }

  @Test(.requires(.root, .namespaces, .tool("rq"), .tool("redis-server")))
  func `RQ finishes its job and takes no other`() throws {
    try stage.folder.write(
      "jobs.py",
      """
      import time
      def work(name, seconds):
          print(f"begun {name}", flush=True); time.sleep(seconds); print(f"finished {name}", flush=True)

      """)
    let queue = Queue(
      add: {
        let script =
          "import rq, redis, jobs; rq.Queue(connection=redis.Redis()).enqueue(jobs.work, '\($0)', \($1))"
        return ["/usr/bin/python3", "-c", script]
      }, list: "rq:queue:default")
    try stopInTheMiddle(
      try ebb(["rq", "worker"]), environment: ["PYTHONPATH": stage.path], queue: queue)
  }

  @Test(.requires(.root, .namespaces, .tool("sidekiq"), .tool("redis-server")))
  func `Sidekiq finishes its job and takes no other`() throws {
    let file = try stage.folder.write(
      "work.rb",
      """
      require "sidekiq"
      class Work
        include Sidekiq::Worker
        def perform(name, seconds)
          $stdout.sync = true
          puts "begun #{name}"
          sleep seconds
          puts "finished #{name}"
        end
      end

      """)
    let queue = Queue(
      add: { ["ruby", "-r", file, "-e", "Work.perform_async('\($0)', \($1))"] }, list: "queue:default")
    try stopInTheMiddle(
      try ebb(["sidekiq", "--concurrency", "1", "--require", file]),
      environment: ["REDIS_URL": "redis://127.0.0.1:6379"], queue: queue)
  }

  /// cron ends at once, and knows nothing of its jobs any more: each gets TERM, which this one does not heed.
  @Test(.requires(.root, .namespaces, .tool("cron")))
  func `a job that cron leaves behind has --leftovers-max`() throws {
    let folders = "mount -t tmpfs none /run && mount -t tmpfs none /var/spool/cron && cd /var/spool/cron && "
    let table = "@reboot trap '' TERM; touch \(stage.path)/begun; sleep 2; touch \(stage.path)/finished"
    let run = try Running.ebb(
      ["--verbose", "--ready-when", "alive", "--", "cron", "-f"], namespaces: [.network, .mount],
      prepare: folders + "mkdir crontabs && echo \"\(table)\" >crontabs/root && chmod 600 crontabs/root")
    let files = FileManager.default
    try wait(until: "the job has begun") { files.fileExists(atPath: "\(stage.path)/begun") }
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(143), "\(run.errors.text)")
    #expect(files.fileExists(atPath: "\(stage.path)/finished"), "\(run.errors.text)")
  }

  /// As k8s/cronjob.yaml has it: a pod that is deleted lets its job end what it is at.
  @Test(.requires(.root, .namespaces, .tool("python3"), .pythonModule("yaml")))
  func `a CronJob's job hears of the stop, and ends in its own time`() throws {
    var (words, environment) = try Manifest.container(of: "cronjob")
    words[0] = try Binary.ebb.path()
    let end = try #require(words.firstIndex(of: "--"))
    let job = """
      import os, signal, time
      def stop(*_): os.write(1, b"told\\n"); time.sleep(1); os.write(1, b"put away\\n"); os._exit(3)
      signal.signal(signal.SIGTERM, stop); os.write(1, b"at work\\n"); signal.pause()
      """
    words.replaceSubrange((end + 1)..., with: ["python3", "-c", job])
    environment["KUBERNETES_SERVICE_HOST"] = "10.0.0.1"
    let run = try Running(words, environment: environment, entering: stage.network.entry)
    try run.waitForLine(containing: "at work")
    try run.signal(SIGTERM)
    #expect(try run.finish() == .code(3), "\(run.errors.text)")
    #expect(run.output.lines == ["at work", "told", "put away"])
  }
}
