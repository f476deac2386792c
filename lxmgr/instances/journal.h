// What the journal is told before work that a crash must not leave half done.
#pragma once

#include "instances/names.h"
#include "store/operations.h"

#include <string>
#include <utility>

namespace lxmgr::instances
{

/// Not begun yet: store::beginOperation() writes it.
inline store::Operation newJournal(std::string type, std::string project, std::string object, std::string arguments = {})
{
    store::Operation journal;
    journal.id = newUuid();
    journal.project = std::move(project);
    journal.type = std::move(type);
    journal.object = std::move(object);
    journal.arguments = std::move(arguments);
    return journal;
}

} // namespace lxmgr::instances
