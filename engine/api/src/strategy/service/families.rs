//! Which families a Service gets: `ipFamilies` and `ipFamilyPolicy` against the cluster's ranges.
//!
//! **Source of the semantics.** API-49, API-50, the matrix of API section 6, API-62, API-68 … API-71; S:
//! `pkg/registry/core/service/storage/alloc.go` (initIPFamilyFields),
//! `pkg/apis/core/validation/validation.go` (ValidateServiceClusterIPsRelatedFields).

use crate::allocator::ClusterIps;
use crate::family::IpFamily;
use crate::field::FieldError;
use crate::object::{Service, ServiceSpec};
use crate::validate::{one_of, text};

const SINGLE: &str = "SingleStack";
const PREFER: &str = "PreferDualStack";
const REQUIRE: &str = "RequireDualStack";

/// Fills in families and policy of a Service that is no ExternalName.
pub(super) fn settle(
    service: &mut Service,
    old: Option<&Service>,
    ranges: &ClusterIps,
) -> Result<(), Vec<FieldError>> {
    if let Some(old) = old {
        let inherited = || old.spec.ip_family_policy.clone();
        let policy = service.spec.ip_family_policy.take();
        service.spec.ip_family_policy = policy.or_else(inherited);
    }
    refuse_any(cluster_ip_errors(service))?;
    let available = ranges.families();
    let mut errors = Vec::new();
    if let Some(old) = old {
        errors.extend(release_second(&mut service.spec, &old.spec));
    }
    errors.extend(count_errors(&service.spec));
    errors.extend(infer_from_addresses(&mut service.spec, available));
    refuse_any(errors)?;
    if service.is_headless() && service.spec.selector.is_empty() {
        settle_selectorless_headless(&mut service.spec, available);
        return Ok(());
    }
    let spec = &mut service.spec;
    let policy = spec
        .ip_family_policy
        .get_or_insert_with(|| SINGLE.to_owned())
        .as_str();
    let mut errors = Vec::new();
    if policy == REQUIRE && available.len() < 2 {
        let detail = "this cluster is not configured for dual-stack services";
        errors.push(FieldError::invalid("spec.ipFamilyPolicy", &policy, detail));
    }
    for (index, family) in spec.ip_families.iter().enumerate() {
        if IpFamily::parse(family).is_none_or(|family| !available.contains(&family)) {
            let field = format!("spec.ipFamilies[{index}]");
            errors.push(FieldError::invalid(
                field,
                family,
                "not configured on this cluster",
            ));
        }
    }
    refuse_any(errors)?;
    if spec.ip_families.is_empty() {
        spec.ip_families
            .extend(available.first().map(ToString::to_string));
    }
    if policy != SINGLE && available.len() == 2 {
        add_second_family(&mut spec.ip_families);
    }
    Ok(())
}

/// The checks of everything about ClusterIPs, which allocation needs first (API-41, API-49, API-50).
pub(super) fn cluster_ip_errors(service: &Service) -> Vec<FieldError> {
    let spec = &service.spec;
    if spec.service_type == "ExternalName" {
        return external_name_errors(spec);
    }
    let ips = &spec.cluster_ips;
    let mut errors = Vec::new();
    match (spec.cluster_ip.as_str(), ips.first()) {
        ("", Some(_)) => {
            let detail = "must be empty when `clusterIP` is not specified";
            errors.push(FieldError::invalid("spec.clusterIPs", ips, detail));
        }
        (single, Some(first)) if single != first => {
            errors.push(FieldError::invalid(
                "spec.clusterIPs",
                ips,
                "first value must match `clusterIP`",
            ));
        }
        ("", None) | (_, Some(_)) => {}
        (_, None) => errors.push(FieldError::required("spec.clusterIPs", "")),
    }
    for (index, family) in spec.ip_families.iter().enumerate() {
        let field = format!("spec.ipFamilies[{index}]");
        errors.extend(one_of(&field, family, &["IPv4", "IPv6"]));
        if spec.ip_families[..index].contains(family) {
            errors.push(FieldError::duplicate(field, family));
        }
    }
    if let Some(policy) = &spec.ip_family_policy {
        errors.extend(one_of(
            "spec.ipFamilyPolicy",
            policy,
            &[PREFER, REQUIRE, SINGLE],
        ));
    }
    let texts = text_errors(ips);
    let readable = texts.is_empty();
    errors.extend(texts);
    if ips.len() > 2 {
        errors.push(FieldError::invalid(
            "spec.clusterIPs",
            ips,
            "may only hold up to 2 values",
        ));
    }
    if !readable {
        return errors;
    }
    let families: Vec<IpFamily> = service.addresses().map(IpFamily::of).collect();
    if families.len() > 1 && families.iter().all(|family| *family == families[0]) {
        let detail = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid("spec.clusterIPs", ips, detail));
    }
    if errors.is_empty() {
        errors.extend(mismatch_errors(ips, &families, &spec.ip_families));
    }
    errors
}

fn external_name_errors(spec: &ServiceSpec) -> Vec<FieldError> {
    let given = [
        ("spec.clusterIPs", !spec.cluster_ips.is_empty()),
        ("spec.ipFamilies", !spec.ip_families.is_empty()),
        ("spec.ipFamilyPolicy", spec.ip_family_policy.is_some()),
    ];
    let error = |field| FieldError::forbidden(field, "may not be set for ExternalName services");
    given
        .into_iter()
        .filter(|(_, given)| *given)
        .map(|(field, _)| error(field))
        .collect()
}

fn text_errors(ips: &[String]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, ip) in ips.iter().enumerate() {
        if index == 0 && ip == "None" {
            if ips.len() > 1 {
                let detail = "'None' must be the first and only value";
                errors.push(FieldError::invalid("spec.clusterIPs", &ips, detail));
            }
        } else if let Err(found) = text::address(ip) {
            let field = format!("spec.clusterIPs[{index}]");
            errors.extend(
                found
                    .iter()
                    .map(|detail| FieldError::invalid(&field, ip, detail)),
            );
        }
    }
    errors
}

fn mismatch_errors(ips: &[String], families: &[IpFamily], wanted: &[String]) -> Vec<FieldError> {
    let pairs = families.iter().zip(wanted).enumerate();
    let wrong = pairs.filter(|(_, (family, wanted))| family.name() != *wanted);
    wrong
        .map(|(index, (_, wanted))| {
            let detail =
                format!("expected an {wanted} value as indicated by `ipFamilies[{index}]`");
            FieldError::invalid(format!("spec.clusterIPs[{index}]"), &ips[index], &detail)
        })
        .collect()
}

/// Two of anything need a policy that allows two (API-68).
fn count_errors(spec: &ServiceSpec) -> Vec<FieldError> {
    if spec
        .ip_family_policy
        .as_deref()
        .is_some_and(|policy| policy != SINGLE)
    {
        return Vec::new();
    }
    let counts = [
        (spec.cluster_ips.len(), "cluster IPs are"),
        (spec.ip_families.len(), "IP families are"),
    ];
    let error = |what| {
        let detail = format!(
            "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} specified"
        );
        FieldError::invalid("spec.ipFamilyPolicy", &SINGLE, &detail)
    };
    counts
        .into_iter()
        .filter(|(count, _)| *count == 2)
        .map(|(_, what)| error(what))
        .collect()
}

/// A requested address says which family is wanted (API-70).
fn infer_from_addresses(spec: &mut ServiceSpec, available: &[IpFamily]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, ip) in spec
        .cluster_ips
        .iter()
        .enumerate()
        .skip(spec.ip_families.len())
    {
        let Ok(address) = text::address(ip) else {
            continue;
        };
        let family = IpFamily::of(address);
        if available.contains(&family) {
            spec.ip_families.push(family.to_string());
        } else {
            let field = format!("spec.clusterIPs[{index}]");
            let detail = format!("{family} is not configured on this cluster");
            errors.push(FieldError::invalid(field, &spec.cluster_ips, &detail));
        }
    }
    errors
}

/// Somebody else writes such a Service's endpoints, so the cluster's families do not bind it.
fn settle_selectorless_headless(spec: &mut ServiceSpec, available: &[IpFamily]) {
    let policy = spec
        .ip_family_policy
        .get_or_insert_with(|| REQUIRE.to_owned());
    let both = policy != SINGLE;
    if spec.ip_families.is_empty() {
        spec.ip_families
            .extend(available.first().map(ToString::to_string));
    }
    if both {
        add_second_family(&mut spec.ip_families);
    }
}

fn add_second_family(families: &mut Vec<String>) {
    if let [only] = families.as_slice() {
        families.extend(IpFamily::parse(only).map(|family| family.other().to_string()));
    }
}

/// Going back to one family takes the policy that says so; then the second address and family go if the user left both
/// as they were (API-62).
fn release_second(spec: &mut ServiceSpec, old: &ServiceSpec) -> Vec<FieldError> {
    let policy = spec.ip_family_policy.as_deref();
    if policy == Some(SINGLE) {
        if spec.cluster_ips == old.cluster_ips {
            spec.cluster_ips.truncate(1);
        }
        if spec.ip_families == old.ip_families {
            spec.ip_families.truncate(1);
        }
        return Vec::new();
    }
    let reduced = |after: &[String], before: &[String]| (1..before.len()).contains(&after.len());
    let error = |what| {
        let detail = format!("must be 'SingleStack' to release the secondary {what}");
        FieldError::invalid("spec.ipFamilyPolicy", &policy, &detail)
    };
    [
        (reduced(&spec.cluster_ips, &old.cluster_ips), "cluster IP"),
        (reduced(&spec.ip_families, &old.ip_families), "IP family"),
    ]
    .into_iter()
    .filter(|(reduced, _)| *reduced)
    .map(|(_, what)| error(what))
    .collect()
}

fn refuse_any(errors: Vec<FieldError>) -> Result<(), Vec<FieldError>> {
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}
