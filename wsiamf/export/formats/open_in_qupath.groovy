// Opens slides with wsiamf's results in QuPath 0.4 to 0.7, and the hard cases of the first one in a grid.
//
// Automate > Script editor > File > Open: this file. Run > Run. With a project open every slide is added to it with its objects; a slide that is in it
// already is left as you changed it. Without a project only the first slide is opened. In the grid, sort by "Review rank", ascending.
// Research use only.

import java.util.function.Function
import javafx.application.Platform
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.commands.PathObjectGridView
import qupath.lib.gui.commands.ProjectCommands
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServers
import qupath.lib.io.PathIO

// Each slide and its folder of results; change these lines if you move the files.
def slides = [
@SLIDES@
]
def hardCase = @HARD_CASE@

def qupath = QuPathGUI.getInstance()
if (qupath == null)
    throw new IllegalStateException('Run this script in the script editor of QuPath, not from the command line.')

def hAndE = ImageData.ImageType.BRIGHTFIELD_H_E

def read = { slide ->
    def file = new File(slide.file)
    if (!file.exists())
        throw new FileNotFoundException('No slide at ' + file + ': change the path in this script.')
    def imageData = new ImageData(ImageServers.buildServer(file.toURI()), hAndE)
    slide.objects.each { name -> imageData.getHierarchy().addObjects(PathIO.readObjects(new File(slide.folder, name))) }
    return imageData
}

def addToProject = { project, slide ->
    def uri = new File(slide.file).toURI()
    def entry = project.getImageList().find { it.getURIs().contains(uri) }
    if (entry != null) {
        println 'In the project already, left as it is: ' + slide.file
        return entry
    }
    def imageData = read(slide)
    entry = ProjectCommands.addSingleImageToProject(project, imageData.getServer(), hAndE)
    if (entry == null)
        throw new IOException('QuPath cannot add the slide to the project: ' + slide.file)
    entry.saveImageData(imageData)
    return entry
}

def hardCases = { hierarchy ->
    hierarchy == null ? [] : hierarchy.getAnnotationObjects().findAll { String.valueOf(it.getPathClass()) == hardCase }
}

def project = qupath.getProject()
def entries = project == null ? [] : slides.collect { addToProject(project, it) }
def opened = project == null ? read(slides[0]) : null
if (project == null && slides.size() > 1)
    println 'No project is open: only the first of ' + slides.size() + ' slides was opened.'
if (project != null)
    project.syncChanges()

Platform.runLater {
    if (project == null) {
        qupath.getViewer().setImageData(opened)
    } else {
        qupath.refreshProject()
        qupath.openImageEntry(entries[0])
    }
    PathObjectGridView.createGridView(qupath, hardCases as Function).show()
}
