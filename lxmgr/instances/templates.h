// metadata.yaml and the templates of an instance: its image's until one is changed, then its own, beside its volume.
#pragma once

#include "images/metadata.h"
#include "storage/driver.h"
#include "store/instances.h"

#include <optional>
#include <string>
#include <vector>

namespace lxmgr::instances
{

/// The folder they lie in; none for an instance that has neither.
Result<std::optional<Fd>> openTemplates(storage::Driver &pool, const store::Instance &row);

/// Of an instance without any: what can be said of it, and no templates.
Result<images::Metadata> metadataOf(storage::Driver &pool, const store::Instance &row);
/// Invalid: what parseMetadata() would refuse.
Status setMetadata(storage::Driver &pool, const store::Instance &row, const images::Metadata &metadata);

/// Names, sorted.
Result<std::vector<std::string>> templatesOf(storage::Driver &pool, const store::Instance &row);
/// NotFound. Invalid: no name of a template.
Result<std::string> readTemplate(storage::Driver &pool, const store::Instance &row, const std::string &name);
/// Makes it, or replaces it. Invalid: the name, a text longer than 1 MiB, or one template too many.
Status writeTemplate(storage::Driver &pool, const store::Instance &row, const std::string &name, const std::string &text);
Status deleteTemplate(storage::Driver &pool, const store::Instance &row, const std::string &name);

} // namespace lxmgr::instances
