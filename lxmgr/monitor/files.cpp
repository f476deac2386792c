#include "monitor/modes.h"
namespace lxmgr::monitor
{
int files(std::span<char *const>)
{
    return 2;
}
} // namespace lxmgr::monitor
