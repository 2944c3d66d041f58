//! The path of an upload to the disk.

use crate::bug::Bug;
use crate::bug::Catcher::{Promise, Seeds, Unit};

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "what-has-the-name-is-opened",
        cases: &[63],
        does: "It writes to whatever has the name, even through a link (as `open(2)` with O_TRUNC does)",
        file: "src/kernel/posix_disk.rs",
        function: "link",
        right: "self.link_new(name)?",
        wrong: r#"{
            let path = |file: &File| format!("/proc/self/fd/{}", file.as_raw_fd());
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
            let mut existing = options.open(format!("{}/{name}", path(&self.directory)))?;
            io::copy(&mut File::open(path(&self.file))?, &mut existing)?;
        }"#,
        caught_by: Unit("kernel::posix_disk::tests::a_file_of_any_kind_that_has_the_name_stays_untouched"),
    },
    Bug {
        name: "what-was-cut-short-is-kept",
        cases: &[70],
        does: "It links an incomplete file to its final name (filebrowser#3538)",
        file: "src/protocol/file/sized.rs",
        function: "commit",
        right: "self.upload.size() < self.size",
        wrong: "false",
        caught_by: Seeds,
    },
    Bug {
        name: "a-reset-is-the-end-of-a-file",
        cases: &[70],
        does: "It stores the bytes before a reset as if the file were complete (nodeftpd#105)",
        file: "src/connection/line.rs",
        function: "read",
        right: "attempt(|| xray::answered(self.transport.read(room), || Call::Read { asked: room.len() as u32 }))",
        wrong: "match attempt(|| self.transport.read(room)) {
            Attempt::Failed(_) => Attempt::Done(0),
            read => read,
        }",
        caught_by: Seeds,
    },
    Bug {
        name: "a-write-error-is-overlooked",
        cases: &[73],
        does: "It goes on after a failed write, and confirms a file with a hole",
        file: "src/protocol/file/upload.rs",
        function: "write_all",
        right: "self.draft.write_all(bytes)?;",
        wrong: "let _ = self.draft.write_all(bytes);",
        caught_by: Seeds,
    },
    Bug {
        name: "a-file-that-failed-keeps-its-name",
        cases: &[73],
        does: "It reports a failed upload to its client, but leaves the file in place",
        file: "src/protocol/file/upload.rs",
        function: "commit",
        right: "let _ = self.store.directory.remove(name.as_str());",
        wrong: "",
        caught_by: Unit("protocol::file::upload::tests::whichever_step_fails_no_file_and_no_draft_stays_behind"),
    },
    Bug {
        name: "ok-before-the-sync",
        cases: &[74],
        does: "It confirms a file whose contents a loss of power destroys",
        file: "src/protocol/file/upload.rs",
        function: "commit",
        right: "self.draft.sync().map_err(|error| disk_error(&error))?;",
        wrong: "",
        caught_by: Seeds,
    },
    Bug {
        name: "the-directory-is-not-synced",
        cases: &[74],
        does: "It confirms a file whose name a loss of power destroys",
        file: "src/protocol/file/upload.rs",
        function: "commit",
        right: "self.store.directory.sync()",
        wrong: "Ok::<(), io::Error>(())",
        caught_by: Seeds,
    },
    Bug {
        name: "a-full-pipe-counts-as-drained",
        cases: &[],
        does: "After the `EAGAIN` of a full pipe it waits for its socket, as if the socket were drained, and the upload sleeps for ever",
        file: "src/connection/line/splice.rs",
        function: "splice",
        right: "pipes::has_room(pipe)",
        wrong: "true",
        caught_by: Unit("connection::tests::splice::spliced_data_arrives_whole_and_in_order_whatever_its_size"),
    },
    Bug {
        name: "spliced-before-urgent-data",
        cases: &[],
        does: "It splices on after urgent data has come, where `splice` stops for ever",
        file: "src/connection/line/splice.rs",
        function: "may_splice",
        right: "self.transport.splices() && self.doubt.0 & Doubt::EVENT == 0",
        wrong: "self.transport.splices()",
        caught_by: Promise("splice::urgent_data_does_not_stop_an_upload_that_is_spliced"),
    },
    Bug {
        name: "spliced-past-the-length",
        cases: &[72],
        does: "It moves bytes into the pipe that follow the contents, so that they are stored and not the next name",
        file: "src/bulk.rs",
        function: "room",
        right: "wanted.min(pipe.room())",
        wrong: "pipe.room()",
        caught_by: Unit("connection::tests::splice::spliced_data_ends_at_its_length_and_the_rest_is_delivered"),
    },
    Bug {
        name: "a-pipe-with-bytes-is-used-again",
        cases: &[73],
        does: "It lends a pipe again in which a full disk has left bytes of another client's file",
        file: "src/bulk/pipes.rs",
        function: "give_back",
        right: "lent.len() == 0",
        wrong: "lent.len() < usize::MAX",
        caught_by: Unit("bulk::pipes::tests::a_pipe_with_bytes_of_one_upload_is_never_lent_to_another"),
    },
];
