// libuv handles with an owner: stopped and closed when it goes. Callbacks run on the loop's thread, the only one.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <uv.h>

namespace lxmgr::monitor
{

/// How many callbacks have run. libuv asks the kernel for what a callback starts only in its next round, so nobody may
/// wait outside of it before a round without any.
inline unsigned callbacksRun = 0;

/// Tells when a descriptor is readable or writable. The descriptor must outlive it.
class Poll
{
public:
    using Callback = std::function<void(int events)>; ///< UV_READABLE, UV_WRITABLE

    Poll() = default;
    Poll(uv_loop_t &loop, int fd, Callback callback) : m_state(new State{{}, std::move(callback), 0})
    {
        m_state->handle.data = m_state;
        uv_poll_init(&loop, &m_state->handle, fd);
    }
    Poll(Poll &&other) noexcept : m_state(std::exchange(other.m_state, nullptr)) {}
    Poll &operator=(Poll &&other) noexcept
    {
        if (this != &other) {
            close();
            m_state = std::exchange(other.m_state, nullptr);
        }
        return *this;
    }
    ~Poll() { close(); }

    /// 0 waits for nothing.
    void want(int events)
    {
        if (!m_state || events == m_state->wanted)
            return;
        m_state->wanted = events;
        if (events == 0)
            uv_poll_stop(&m_state->handle);
        else
            uv_poll_start(&m_state->handle, events, &Poll::onEvent);
    }

private:
    struct State {
        uv_poll_t handle;
        Callback callback;
        int wanted;
    };
    static void onEvent(uv_poll_t *handle, int status, int events)
    {
        callbacksRun += 1;
        // An error is told as readable: reading then says which.
        static_cast<State *>(handle->data)->callback(status < 0 ? UV_READABLE : events);
    }
    void close()
    {
        if (!m_state)
            return;
        uv_poll_stop(&m_state->handle);
        uv_close(reinterpret_cast<uv_handle_t *>(&m_state->handle),
                 [](uv_handle_t *handle) { delete static_cast<State *>(handle->data); });
        m_state = nullptr;
    }
    State *m_state = nullptr;
};

/// Calls back every `interval` milliseconds until destroyed.
class Ticker
{
public:
    Ticker() = default;
    Ticker(uv_loop_t &loop, std::uint64_t interval, std::function<void()> callback)
        : m_state(new State{{}, std::move(callback)})
    {
        m_state->handle.data = m_state;
        uv_timer_init(&loop, &m_state->handle);
        uv_timer_start(
            &m_state->handle,
            [](uv_timer_t *handle) {
                callbacksRun += 1;
                static_cast<State *>(handle->data)->callback();
            },
            interval, interval);
    }
    Ticker(Ticker &&other) noexcept : m_state(std::exchange(other.m_state, nullptr)) {}
    Ticker &operator=(Ticker &&other) noexcept
    {
        if (this != &other) {
            close();
            m_state = std::exchange(other.m_state, nullptr);
        }
        return *this;
    }
    ~Ticker() { close(); }

private:
    struct State {
        uv_timer_t handle;
        std::function<void()> callback;
    };
    void close()
    {
        if (!m_state)
            return;
        uv_timer_stop(&m_state->handle);
        uv_close(reinterpret_cast<uv_handle_t *>(&m_state->handle),
                 [](uv_handle_t *handle) { delete static_cast<State *>(handle->data); });
        m_state = nullptr;
    }
    State *m_state = nullptr;
};

} // namespace lxmgr::monitor
