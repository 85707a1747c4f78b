//! Logs that do not rotate fill the disk some day, and are kept for longer than they should be.

use super::Patient;
use crate::engine::rotation;
use crate::event::Finding;

pub(super) async fn look(patient: &Patient<'_>) -> Option<Finding> {
    let error = rotation::rotation(patient.host).await.err()?;
    let next = match rotation::foreign(patient.host).into_iter().find(|foreign| foreign.is_first) {
        Some(foreign) => format!(
            "remove `{}`, or take nginx's logs out of it: hwctl's rotation is in \
             `/etc/logrotate.d/nginx` and follows the variable `logrotate`",
            foreign.path.display()
        ),
        None => "`logrotate --debug /etc/logrotate.conf` on the host has the rest".to_owned(),
    };
    let finding = Finding::new("log-rotation", "nginx's logs do not rotate");
    Some(finding.evidence([format!("{error:#}")]).next(next))
}
