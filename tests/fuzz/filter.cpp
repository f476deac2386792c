// Filters of list requests.
#include "api/filter.h"
#include "api/instances.h"

#include <cstdint>

using namespace lxmgr;
using namespace lxmgr::api;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    const Result<Filter> filter = Filter::parse({reinterpret_cast<const char *>(data), size});
    InstanceFull instance;
    instance.name = "web1";
    instance.config["limits.memory"] = "512MiB";
    if (filter)
        (void)filter->matches(instance); // only must not crash or hang
    return 0;
}
