// What cloud-init.* keys bring a guest: a NoCloud seed where its image has cloud-init, else what we make of #cloud-config.
#pragma once

#include "base/fd.h"
#include "config/cloud_config.h"
#include "instances/running.h"
#include "spec/launch.h"
#include "store/instances.h"

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace lxmgr::instances
{

// Keys that the daemon remembers by. `result` is set only where we apply the texts ourselves: pending, running, done,
// "failed: why" or "interrupted: why".
inline constexpr const char *kCloudInstanceId = "volatile.cloud-init.instance-id";
inline constexpr const char *kCloudDataHash = "volatile.cloud-init.data-hash";
inline constexpr const char *kCloudResult = "volatile.cloud-init.result";

inline constexpr const char *kCloudInitProgram = "/usr/bin/cloud-init"; ///< What an image with cloud-init has.

/// What one start brings along.
struct CloudStart {
    StringMap keys; ///< To be recorded before the guest runs.
    std::vector<spec::GuestFile> seed;
    spec::GuestSetup setup;
    std::string hostname; ///< "": the instance's name.
};

/// How it ended, for people.
struct CloudResult {
    std::string status;  ///< none, done, failed or interrupted.
    std::string message; ///< Why, where it failed.
    std::vector<std::string> warnings;
};

/// Changes with all that makes cloud-init treat the guest as another instance: its name and the three texts.
std::string cloudDataHash(const std::string &name, const config::CloudTexts &texts);
/// meta-data as the seed and the guest API give it.
std::string cloudMetaData(const std::string &name, const std::string &instanceId, const StringMap &expanded);
/// The files of a NoCloud seed that the image's own templates, which make `targets`, do not write.
std::vector<spec::GuestFile> cloudSeed(const std::string &metaData, const config::CloudTexts &texts, const std::set<std::string> &targets);
/// Passwords are hashed, and made up where that is asked for.
Result<spec::GuestSetup> cloudSetup(const config::CloudConfig &config);

/// A thread for each guest whose commands run; they are few, and each waits most of its time.
class CloudRuns
{
public:
    struct Stop {
        const std::function<bool()> asked;
        const Fd &event; ///< Readable from then on.
    };
    using Work = std::function<void(const Stop &stop)>;

    /// `wake` is called after `asked` has become true, for whoever waits elsewhere.
    static Result<std::unique_ptr<CloudRuns>> create(std::function<void()> wake);
    /// Asks all to stop and waits for them.
    ~CloudRuns();
    CloudRuns(const CloudRuns &) = delete;
    CloudRuns &operator=(const CloudRuns &) = delete;

    void begin(Work work);
    /// Something was recorded.
    void tell();
    /// Blocks until `done`, which is asked again after each tell(), or until `deadline`: false.
    bool wait(std::chrono::steady_clock::time_point deadline, const std::function<bool()> &done);

private:
    struct Run {
        std::thread thread;
        bool ended = false;
    };
    explicit CloudRuns(std::function<void()> wake) : m_wake(std::move(wake)) {}

    std::function<void()> m_wake;
    Fd m_event;
    std::mutex m_mutex;
    std::condition_variable m_changed;
    std::list<Run> m_runs;
    bool m_stopping = false;
    std::uint64_t m_told = 0;
};

} // namespace lxmgr::instances
