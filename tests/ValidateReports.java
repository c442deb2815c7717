import com.pixelmed.validate.DicomSRValidator;

/** PixelMed's validator over several reports: its own command takes one, and seven seconds to get ready. */
public class ValidateReports {
    public static void main(String[] paths) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        for (String path : paths) {
            System.out.println("Report " + path);
            System.out.println(validator.validate(path));
        }
    }
}
