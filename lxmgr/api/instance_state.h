// What a running instance uses, as the wire has it.
#pragma once

#include "api/fields.h"
#include "api/status_codes.h"
#include "api/time.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

struct CpuState {
    std::int64_t usage = 0;         ///< ns
    std::int64_t allocatedTime = 0; ///< ns of CPU per second of wall clock it may use.
};
template <> struct Fields<CpuState> {
    static constexpr auto rows =
        std::tuple{Field{"usage", &CpuState::usage}, Field{"allocated_time", &CpuState::allocatedTime}};
};

struct MemoryState {
    std::int64_t usage = 0, usagePeak = 0, total = 0, swapUsage = 0, swapUsagePeak = 0;
};
template <> struct Fields<MemoryState> {
    using T = MemoryState;
    static constexpr auto rows = std::tuple{
        Field{"usage", &T::usage},
        Field{"usage_peak", &T::usagePeak},
        Field{"total", &T::total},
        Field{"swap_usage", &T::swapUsage},
        Field{"swap_usage_peak", &T::swapUsagePeak},
    };
};

struct DiskState {
    std::int64_t usage = 0, total = 0;
};
template <> struct Fields<DiskState> {
    static constexpr auto rows = std::tuple{Field{"usage", &DiskState::usage}, Field{"total", &DiskState::total}};
};

struct NetworkAddress {
    std::string family;  ///< "inet", "inet6"
    std::string address; ///< Without mask.
    std::string netmask; ///< Prefix length as text.
    std::string scope;   ///< "global", "link", "local"
};
template <> struct Fields<NetworkAddress> {
    using T = NetworkAddress;
    static constexpr auto rows = std::tuple{Field{"family", &T::family}, Field{"address", &T::address},
                                            Field{"netmask", &T::netmask}, Field{"scope", &T::scope}};
};

struct NetworkCounters {
    std::int64_t bytesReceived = 0, bytesSent = 0, packetsReceived = 0, packetsSent = 0;
    std::int64_t errorsReceived = 0, errorsSent = 0, packetsDroppedOutbound = 0, packetsDroppedInbound = 0;
};
template <> struct Fields<NetworkCounters> {
    using T = NetworkCounters;
    static constexpr auto rows = std::tuple{
        Field{"bytes_received", &T::bytesReceived},
        Field{"bytes_sent", &T::bytesSent},
        Field{"packets_received", &T::packetsReceived},
        Field{"packets_sent", &T::packetsSent},
        Field{"errors_received", &T::errorsReceived},
        Field{"errors_sent", &T::errorsSent},
        Field{"packets_dropped_outbound", &T::packetsDroppedOutbound},
        Field{"packets_dropped_inbound", &T::packetsDroppedInbound},
    };
};

struct NicState {
    std::vector<NetworkAddress> addresses;
    NetworkCounters counters;
    std::string hwaddr, hostName;
    int mtu = 0;
    std::string state; ///< "up", "down"
    std::string type;  ///< "broadcast", "loopback", "point-to-point"
};
template <> struct Fields<NicState> {
    using T = NicState;
    static constexpr auto rows = std::tuple{
        Field{"addresses", &T::addresses}, Field{"counters", &T::counters}, Field{"hwaddr", &T::hwaddr},
        Field{"host_name", &T::hostName},  Field{"mtu", &T::mtu},           Field{"state", &T::state},
        Field{"type", &T::type},
    };
};

struct InstanceState {
    std::string status = "Stopped";
    int statusCode = 102;
    std::map<std::string, DiskState> disk;
    MemoryState memory;
    std::optional<std::map<std::string, NicState>> network; ///< Null when stopped.
    std::int64_t pid = 0;
    std::int64_t processes = 0;
    CpuState cpu;
    Time startedAt;

    void setStatus(StatusCode code)
    {
        status = statusWord(code);
        statusCode = static_cast<int>(code);
    }
};
template <> struct Fields<InstanceState> {
    using T = InstanceState;
    static constexpr auto rows = std::tuple{
        Field{"status", &T::status}, Field{"status_code", &T::statusCode}, Field{"disk", &T::disk},
        Field{"memory", &T::memory}, Field{"network", &T::network},        Field{"pid", &T::pid},
        Field{"processes", &T::processes}, Field{"cpu", &T::cpu},          Field{"started_at", &T::startedAt},
    };
};

} // namespace lxmgr::api
