// Progress: how long work says what it is doing and learns that nobody wants it any more.
#pragma once

#include <functional>
#include <string>

namespace lxmgr
{

class Progress
{
public:
    Progress() = default;
    Progress(const Progress &) = delete;
    Progress &operator=(const Progress &) = delete;
    virtual ~Progress() = default;

    /// One line for people, replacing the last: "unpack: 45% (120.4MiB)". Called from the thread that works.
    virtual void report(const std::string &text) = 0;
    /// Asked between steps; the work then ends with Code::Cancelled and leaves nothing behind. Any thread.
    virtual bool cancelled() const = 0;
    /// `callback` is called once nobody wants the work any more, at once where that is so already, on the canceller's thread; {}: no
    /// longer. For work that waits for something else.
    virtual void onCancel(std::function<void()>) {}
    /// Something the user should know although the work goes on: which of several ways was taken, and why not another.
    virtual void note(const std::string &) {}

    /// Listens to nobody and is never cancelled.
    static Progress &none();
};

inline Progress &Progress::none()
{
    class None final : public Progress
    {
        void report(const std::string &) override {}
        bool cancelled() const override { return false; }
    };
    static None instance;
    return instance;
}

} // namespace lxmgr
